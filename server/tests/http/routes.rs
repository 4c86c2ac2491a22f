//! What is answered.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::support::{PROMPTS, add, png, prompts, server, start, until, with_text};

#[test]
fn a_search_is_the_same_by_get_and_by_post() {
    let server = server(|_| {});
    for mode in ["hybrid", "vector", "keyword"] {
        let got = server
            .get(&format!("/v1/search?q=owl+painting&k=2&mode={mode}"))
            .json();
        assert_eq!(got["mode"], mode);
        assert_eq!(prompts(&got)[0], PROMPTS[1]);
        let hit = &got["hits"][0];
        assert_eq!((&hit["rank"], &hit["image_count"]), (&json!(1), &json!(1)));
        assert_eq!(hit["images"][0]["image_name"], "2.png");
        assert_eq!(hit["scores"]["vector"].is_null(), mode == "keyword");
        let query = json!({"q": "owl painting", "limit": 2, "mode": mode});
        let posted = server.post_json("/v1/search", &query).json();
        assert_eq!(prompts(&posted), prompts(&got));
    }
    let filtered = server
        .get("/v1/search?q=owl&filter=seed:%5B3+TO+*%5D")
        .json();
    let mut found = prompts(&filtered);
    found.sort_unstable();
    assert_eq!(found, PROMPTS[2..]);
    let listed = server.get("/v1/search?filter=seed:%5B3+TO+*%5D").json();
    let mut found = prompts(&listed);
    found.sort_unstable();
    assert_eq!(found, PROMPTS[2..]);
    assert_eq!(listed["hits"][0]["score"], 0.0);
    let all = server.get("/v1/search?q=owl&mode=vector").json();
    let page = server
        .get("/v1/search?q=owl&mode=vector&offset=1&k=2")
        .json();
    assert_eq!(prompts(&page), prompts(&all)[1..3]);
    assert_eq!(page["hits"][0]["rank"], 2);
    let best = server
        .get("/v1/search?q=owl&mode=vector&min_score=0.3")
        .json();
    assert_eq!(prompts(&best), [PROMPTS[1]]);
}

#[test]
fn an_image_comes_as_a_body_or_in_a_form() {
    let server = server(|_| {});
    let image = png(64, 64);
    let raw = server.post("/v1/reverse?k=2", "image/png", &image).json();
    assert_eq!(prompts(&raw).len(), 2);
    for key in [
        "verdict",
        "confidence",
        "words",
        "phrases",
        "took_ms",
        "prompt",
    ] {
        assert!(!raw[key].is_null(), "{key}");
    }
    assert!(raw["embedded"].is_null());
    let form = |field: &str| {
        let head = format!(
            "--XX\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n--XX\r\n\
             Content-Disposition: form-data; name=\"{field}\"; filename=\"a.png\"\r\n\
             Content-Type: image/png\r\n\r\n"
        );
        let body = [head.as_bytes(), &image, b"\r\n--XX--\r\n"].concat();
        server.post("/v1/reverse?k=2", "multipart/form-data; boundary=XX", &body)
    };
    let formed = form("image").json();
    assert_eq!(formed["image"], "a.png");
    assert_eq!(prompts(&formed), prompts(&raw));
    assert!(form("picture").problem(400).contains("`image`"));
}

#[test]
fn records_lead_to_more_like_them() {
    let server = server(|_| {});
    let hit = server.get("/v1/search?q=fox&k=1").json()["hits"][0].clone();
    let id = hit["id"].as_str().unwrap();
    let record = server.get(&format!("/v1/records/{id}")).json();
    assert_eq!(record["prompt"], PROMPTS[0]);
    assert_eq!(
        (&record["id"], &record["image_count"]),
        (&hit["id"], &json!(1))
    );
    assert_eq!(record["images"], hit["images"]);
    let like = server
        .post_json("/v1/similar", &json!({"id": id, "k": 9}))
        .json();
    assert_eq!(prompts(&like).len(), 3);
    assert!(
        !prompts(&like).contains(&PROMPTS[0]),
        "it itself is left out"
    );
    assert_eq!(like["hits"][0]["rank"], 1);
    let absent = "0".repeat(32);
    for path in [format!("/v1/records/{absent}"), "/v1/records/".to_owned()] {
        server.get(&path).problem(404);
    }
    assert!(server.get("/v1/records/x").problem(400).contains("`x`"));
    let absent = server.post_json("/v1/similar", &json!({"id": absent}));
    assert!(absent.problem(404).contains("no record"));
}

#[test]
fn texts_are_embedded_in_order() {
    let server = server(|_| {});
    let texts: Vec<String> = (0..40)
        .map(|number| format!("a cat of number {number}"))
        .collect();
    let query = json!({"texts": texts});
    let got = server.post_json("/v1/embed", &query).json();
    let got = got["embeddings"].as_array().unwrap();
    let own = crate::support::sentences().embed(&texts).unwrap();
    assert_eq!(got.len(), own.len());
    for (got, own) in got.iter().zip(own.rows()) {
        let got: Vec<f32> = serde_json::from_value(got.clone()).unwrap();
        assert!(unprompt::text::cosine(&got, own) > 0.9999);
    }
    assert_eq!(
        server.post_json("/v1/embed", &json!({"texts": []})).json()["embeddings"],
        json!([])
    );
}

#[test]
fn the_server_says_what_it_is() {
    let server = server(|_| {});
    let info = server.get("/v1/info").json();
    assert_eq!(
        (&info["model"], &info["index"]["prompts"]),
        (&json!("vit"), &json!(4))
    );
    assert_eq!(info["has_images"], true);
    assert_eq!(
        (server.get("/health").status, server.get("/ready").status),
        (200, 200)
    );
    for path in [
        "/",
        "/health",
        "/v1/info",
        "/v1/search?q=fox",
        "/openapi.json",
    ] {
        let head = server.send("HEAD", path, &[]);
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        assert_ne!(head.header("content-length"), "0", "{path}");
    }
    let page = server.get("/");
    assert!(page.text().contains("<title>unprompt</title>"));
    assert!(
        page.header("content-security-policy")
            .contains("default-src 'self'")
    );
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    for (path, kind) in [("/page.js", "text/javascript"), ("/page.css", "text/css")] {
        assert!(
            server.get(path).header("content-type").starts_with(kind),
            "{path}"
        );
    }
    server.send("DELETE", "/v1/info", &[]);
    let scrape = |accept: &str| server.get_with("/metrics", &[("accept", accept)]);
    let kind = |accept: &str| scrape(accept).header("content-type").to_owned();
    assert!(kind("application/openmetrics-text;version=1.0.0").contains("openmetrics"));
    assert!(kind("text/plain").contains("version=0.0.4"));
    let metrics = server.get("/metrics").text();
    for line in [
        "unprompt_index_generation 1",
        "unprompt_requests_total{route=\"/v1/info\",method=\"GET\",status=\"200\"} 1",
        "unprompt_requests_total{route=\"/v1/info\",method=\"other\",status=\"405\"} 1",
        "unprompt_queue_waiting{queue=\"images\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

#[test]
fn the_api_is_described_as_it_is() {
    let server = server(|_| {});
    let api = server.get("/openapi.json").json();
    assert!(api["openapi"].as_str().unwrap().starts_with("3.1"));
    for (path, method) in [
        ("/v1/reverse", "post"),
        ("/v1/search", "get"),
        ("/v1/search", "post"),
        ("/v1/similar", "post"),
        ("/v1/embed", "post"),
        ("/v1/records/{id}", "get"),
        ("/v1/images/{image_name}", "get"),
        ("/v1/info", "get"),
        ("/health", "get"),
        ("/ready", "get"),
        ("/metrics", "get"),
    ] {
        assert!(api["paths"][path][method].is_object(), "{method} {path}");
    }
    let mut names = HashSet::new();
    for (path, methods) in api["paths"].as_object().unwrap() {
        for (method, route) in methods.as_object().unwrap() {
            let here = format!("{method} {path}");
            assert!(
                names.insert(route["operationId"].as_str().unwrap()),
                "{here}"
            );
            for parameter in route["parameters"].as_array().into_iter().flatten() {
                let named = format!("{{{}}}", parameter["name"].as_str().unwrap());
                let place = if path.contains(&named) {
                    "path"
                } else {
                    "query"
                };
                assert_eq!(parameter["in"], place, "{here}: {named}");
            }
            for (status, response) in route["responses"].as_object().unwrap() {
                let description = response["description"].as_str().unwrap();
                assert!(!description.is_empty(), "{here}: {status}");
            }
        }
    }
    let schemas = &api["components"]["schemas"];
    let described = |schema: &str, value: &Value| {
        let properties = schemas[schema]["properties"].as_object().unwrap();
        for key in value.as_object().unwrap().keys() {
            assert!(properties.contains_key(key), "{schema} has {key}");
        }
    };
    let search = server.get("/v1/search?q=fox").json();
    described("SearchAnswer", &search);
    described("Hit", &search["hits"][0]);
    described("ImageRecord", &search["hits"][0]["images"][0]);
    let reversed = server.post("/v1/reverse", "image/png", &png(8, 8)).json();
    described("ReverseAnswer", &reversed);
    assert!(
        server.get("/docs/").text().contains("swagger"),
        "it can be browsed"
    );
    assert!(
        server.get("/docs").text().contains("swagger"),
        "without the slash, too"
    );
}

#[test]
fn without_an_image_model_texts_are_answered() {
    let server = start(None, |_| {});
    let found = server.get("/v1/search?q=owl&k=1").json();
    assert_eq!(prompts(&found), [PROMPTS[1]]);
    let info = server.get("/v1/info").json();
    assert!(info["model"].is_null(), "{info}");
    assert_eq!(info["sentence_encoder"], "all-MiniLM-L6-v2");
    let refused = server.post("/v1/reverse", "image/png", &png(64, 64));
    assert_eq!(refused.status, 501);
    let said = refused.text();
    assert!(said.contains("carries no prompt"), "{said}");
    let settings = "a lone fox\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 64x64";
    let carrying = with_text(&png(64, 64), "parameters", settings);
    let answer = server.post("/v1/reverse", "image/png", &carrying).json();
    assert_eq!(answer["verdict"], "embedded", "{answer}");
    assert_eq!(answer["prompt"], "a lone fox");
    assert_eq!(answer["hits"], json!([]));
    let wrong = server.post("/v1/reverse?filter=((", "image/png", &carrying);
    assert_eq!(wrong.status, 400);
    let unread = server.post("/v1/reverse?metadata=false", "image/png", &carrying);
    assert_eq!(unread.status, 501);
    let said = unread.text();
    assert!(!said.contains("carries no prompt"), "{said}");
    add(&server.index, &["a heron in the reeds"]);
    until("the new prompt is found", || {
        let found = server.get("/v1/search?q=heron&k=1").json();
        prompts(&found) == ["a heron in the reeds"]
    });
}
