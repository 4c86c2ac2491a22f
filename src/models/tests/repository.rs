//! Repositories that the catalogue does not know.

use super::*;

/// A repository with a file in a folder, a small one and one that is not fetched.
fn repository(request: &server::Request) -> Reply {
    let listing = format!(
        r#"{{"sha": "c0ffee", "siblings": [
            {{"rfilename": "config.json", "size": {}}},
            {{"rfilename": "unet/weights.safetensors", "size": 1, "lfs": {{"sha256": "{}", "size": {}}}}},
            {{"rfilename": "pytorch_model.bin", "size": 5, "lfs": {{"sha256": "00", "size": 5}}}}
        ]}}"#,
        config().len(),
        sha256(&weights()),
        weights().len(),
    );
    match request.path.as_str() {
        "/api/models/some/one/revision/main?blobs=true" => Reply::File(listing.into_bytes()),
        "/some/one/resolve/c0ffee/config.json" => Reply::File(config()),
        "/some/one/resolve/c0ffee/unet/weights.safetensors" => Reply::File(weights()),
        _ => Reply::Status(404),
    }
}

#[test]
fn a_repository_is_fetched_once_and_without_pickles() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(repository);
    let mut store = ModelStore::new([folder.path()]).unwrap();
    let pull =
        |store: &ModelStore, id: &str| store.pull_repository(id, "main", &mut Heard::default());
    let error = pull(&store, "some/one").unwrap_err();
    assert!(
        crate::error::one_line(&error).contains("HF_HUB_OFFLINE"),
        "{error}"
    );
    let hub = Hub::new(
        &server.url,
        Some("secret".to_owned()),
        HubTimeouts::default(),
    );
    store.hub = Some(Arc::new(hub));
    let placed = pull(&store, "some/one").unwrap();
    assert_eq!(
        fs::read(placed.join("unet/weights.safetensors")).unwrap(),
        weights()
    );
    assert_eq!(fs::read(placed.join("config.json")).unwrap(), config());
    assert!(!placed.join("pytorch_model.bin").exists());
    assert_eq!(store.folder("one"), Some(placed));

    let large = |server: &Server| {
        let requests = server.requests();
        requests
            .iter()
            .filter(|it| it.path.ends_with("weights.safetensors"))
            .count()
    };
    assert_eq!(large(&server), 1);
    pull(&store, "some/one").unwrap();
    assert_eq!(large(&server), 1);
    assert!(
        server
            .requests()
            .iter()
            .all(|it| it.header("authorization").is_some())
    );

    let error = crate::error::one_line(&pull(&store, "other/one").unwrap_err());
    assert!(error.contains("404"), "{error}");
    let error = crate::error::one_line(&pull(&store, "../one").unwrap_err());
    assert!(error.contains("OWNER/NAME"), "{error}");
}
