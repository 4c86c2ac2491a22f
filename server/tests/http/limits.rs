//! What is refused, and how.

use serde_json::json;

use crate::support::{png, server};

#[test]
fn queries_that_cannot_be_answered_say_why() {
    let server = server(|config| config.limits.text_bytes = 100);
    for (path, why) in [
        ("/v1/search", "the text is empty"),
        ("/v1/search?q=", "empty"),
        ("/v1/search?q=a&k=0", "at least 1"),
        ("/v1/search?q=a&k=10001", "at most 10000"),
        ("/v1/search?q=a&k=9&offset=9999", "at most 10000"),
        ("/v1/search?q=a&k=x", "k: invalid digit"),
        ("/v1/search?q=a&k=1&k=2", "duplicate field `k`"),
        ("/v1/search?q=a&mode=loud", "loud"),
        ("/v1/search?q=a&colour=red", "colour"),
        (
            "/v1/search?q=a&filter=colour:red",
            "there is no field `colour`",
        ),
    ] {
        let said = server.get(path).problem(400);
        assert!(said.contains(why), "{path}: {said}");
    }
    let long = format!("/v1/search?q={}", "a".repeat(101));
    assert!(server.get(&long).problem(413).contains("100 bytes"));
    server.get("/v1/nothing").problem(404);
    server.get("/nothing").problem(404);
    server.get("/docs/nothing").problem(404);
    let wrong = server.get("/v1/reverse");
    assert_eq!(wrong.header("allow"), "POST");
    assert!(wrong.problem(405).contains("POST"));
    let wrong = server.post_json("/v1/info", &json!({}));
    assert_eq!(wrong.header("allow"), "GET, HEAD");
    wrong.problem(405);
}

#[test]
fn bodies_that_cannot_be_read_say_why() {
    let server = server(|config| {
        config.limits.image_bytes = 1000;
        config.limits.json_bytes = 1000;
        config.limits.texts = 2;
    });
    let json = "application/json";
    server.post("/v1/search", json, b"{").problem(400);
    let said = server
        .post("/v1/search", json, br#"{"q": "a", "k": "b"}"#)
        .problem(400);
    assert!(said.starts_with("k: "), "{said}");
    server
        .post("/v1/search", json, br#"{"q": "a"} x"#)
        .problem(400);
    server.post("/v1/search", json, br#"{"k": 1}"#).problem(400);
    server.post("/v1/search", "text/plain", b"fox").problem(415);
    let long = json!({"q": "a".repeat(2000)});
    assert!(
        server
            .post_json("/v1/search", &long)
            .problem(413)
            .contains("1000 bytes")
    );
    let many = json!({"texts": ["a", "b", "c"]});
    assert!(
        server
            .post_json("/v1/embed", &many)
            .problem(413)
            .contains("2 texts")
    );
    server
        .post_json("/v1/embed", &json!({"texts": [""]}))
        .problem(400);
    server
        .post("/v1/reverse", "image/png", b"no image")
        .problem(415);
    server.post("/v1/reverse", "image/png", b"").problem(415);
    let large = [png(8, 8), vec![0; 1000]].concat();
    assert!(
        server
            .post("/v1/reverse", "image/png", &large)
            .problem(413)
            .contains("1000 bytes")
    );
    server
        .post("/v1/reverse", "multipart/form-data", b"x")
        .problem(400);
    server
        .post("/v1/reverse?k=0", "image/png", &png(8, 8))
        .problem(400);
    // Fields that nobody asked for are read over, within the same limit.
    let form = "--X\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\n";
    let form = [form.as_bytes(), &[b'x'; 100_000], b"\r\n--X--\r\n"].concat();
    server
        .post("/v1/reverse", "multipart/form-data; boundary=X", &form)
        .problem(413);
    let zipped = [("content-encoding", "gzip"), ("content-type", json)];
    let said = server.post_with("/v1/search", &zipped, b"x").problem(415);
    assert!(said.contains("Content-Encoding"), "{said}");
}

#[test]
fn a_key_is_wanted_where_there_is_one() {
    let server = server(|config| config.api_key = Some("secret".to_owned()));
    for headers in [
        &[][..],
        &[("authorization", "Bearer secre")],
        &[("authorization", "Bearer secret2")],
        &[("authorization", "secret")],
        &[("authorization", "Basic secret")],
    ] {
        let refused = server.get_with("/v1/info", headers);
        assert_eq!(refused.header("www-authenticate"), "Bearer");
        let said = refused.problem(401);
        assert!(said.contains("Authorization"), "{said}");
    }
    // A path says the same however its letters are written.
    for path in [
        "/%761/info",
        "/v%31/info",
        "/%76%31/search?q=fox",
        "/%761/images/1.png",
    ] {
        server.get(path).problem(401);
    }
    for scheme in ["bearer", "BEARER"] {
        let key = format!("{scheme} secret");
        assert_eq!(
            server
                .get_with("/v1/info", &[("authorization", &key)])
                .status,
            200
        );
    }
    let key = [("authorization", "Bearer secret")];
    assert_eq!(server.get_with("/v1/info", &key).status, 200);
    assert_eq!(server.get_with("/v1/search?q=fox", &key).status, 200);
    for path in ["/health", "/", "/openapi.json", "/metrics"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
}

#[test]
fn names_that_others_have_given_this_machine_are_not_answered_to() {
    let server = server(|config| config.hosts = vec!["prompts.example.org".to_owned()]);
    let ask = |host: &str| server.get_with("/v1/info", &[("host", host)]);
    assert_eq!(ask("localhost:80").status, 200);
    assert_eq!(ask("Prompts.Example.org:443").status, 200);
    assert!(ask("evil.example.org").problem(421).contains("localhost"));
    let forwarded = [
        ("host", "evil.example.org"),
        ("x-forwarded-host", "localhost"),
    ];
    server.get_with("/v1/info", &forwarded).problem(421);
}

#[test]
fn only_one_other_origin_may_ask() {
    let allowed = "https://a.example.org";
    let server = server(|config| config.cors_origin = Some(allowed.to_owned()));
    let ask = |origin: &str| {
        let answer = server.get_with("/v1/info", &[("origin", origin)]);
        answer.header("access-control-allow-origin").to_owned()
    };
    assert_eq!(ask(allowed), allowed);
    assert_eq!(ask("https://b.example.org"), "");
    let preflight = |headers: &[(&str, &str)]| server.send("OPTIONS", "/v1/search", headers).status;
    assert_eq!(preflight(&[("access-control-request-method", "POST")]), 204);
    assert_eq!(preflight(&[]), 405);
}

#[test]
fn pages_of_elsewhere_may_not_ask_unseen() {
    let allowed = "https://a.example.org";
    let server = server(|config| config.cors_origin = Some(allowed.to_owned()));
    let image = png(8, 8);
    let ask = |site: &str, origin: &str| {
        let headers = [("sec-fetch-site", site), ("origin", origin)];
        server.post_with("/v1/reverse", &headers, &image)
    };
    let said = ask("cross-site", "https://b.example.org").problem(403);
    assert!(said.contains("--cors-origin"), "{said}");
    assert_eq!(ask("cross-site", allowed).status, 200);
    assert_eq!(ask("same-origin", "http://localhost").status, 200);
    ask("same-site", "http://localhost:3000").problem(403);
    let old = |origin: &str| {
        let headers = [("origin", origin), ("host", "localhost:80")];
        server.post_with("/v1/reverse", &headers, &image)
    };
    old("http://b.example.org").problem(403);
    old("null").problem(403);
    for origin in [allowed, "http://localhost:80"] {
        assert_eq!(old(origin).status, 200, "{origin}");
    }
    // A link from elsewhere is followed.
    let link = [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
    ];
    assert_eq!(server.get_with("/v1/search?q=fox", &link).status, 200);
    assert_eq!(server.get_with("/", &link[..1]).status, 200);
}

#[test]
fn requests_have_an_id() {
    let server = server(|_| {});
    let own = server.get_with("/health", &[("x-request-id", "abc-1")]);
    assert_eq!(own.header("x-request-id"), "abc-1");
    let (one, other) = (server.get("/health"), server.get("/v1/nothing"));
    assert_eq!(one.header("x-request-id").len(), 16);
    assert_ne!(one.header("x-request-id"), other.header("x-request-id"));
}
