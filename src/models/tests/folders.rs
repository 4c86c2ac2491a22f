//! What is found in folders and in the environment.

use super::*;

#[test]
fn folders_come_in_order_and_damage_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    let mut store = store(&first);
    store.others.push(second.clone());
    place_by_hand(&second.join(NAME));
    assert_eq!(store.find(NAME).unwrap().unwrap().dir(), second.join(NAME));
    assert_eq!(
        store.find("Some/Fake-Model").unwrap().unwrap().dir(),
        second.join(NAME)
    );
    place_by_hand(&first.join(NAME));
    assert_eq!(store.find(NAME).unwrap().unwrap().dir(), first.join(NAME));

    let damaged = first.join(NAME).join("weights.bin");
    let mut bytes = weights();
    bytes[350_000] ^= 1;
    fs::write(&damaged, &bytes).unwrap();
    match store.find(NAME).unwrap_err() {
        Error::ModelDigest {
            path,
            expected,
            found,
        } => {
            assert_eq!(
                (path, &*expected, &*found),
                (damaged, sha256(&weights()), sha256(&bytes))
            );
        }
        other => panic!("{other:?}"),
    }
    fs::write(first.join(NAME).join("config.json"), b"{}").unwrap();
    let error = store.pull(NAME, &mut ()).unwrap_err();
    assert!(
        matches!(
            error,
            Error::ModelSize {
                expected: 14,
                found: 2,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(error.to_string().contains("Delete it"), "{error}");
    assert!(store.list()[0].found.is_err());
}

#[test]
fn the_hub_cache_is_read_at_the_pinned_revision_and_never_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store(&folder.path().join("ours"));
    let hub = folder.path().join("hub");
    store.hub_cache = Some(hf_hub::Cache::new(hub.clone()));
    let snapshots = hub.join("models--some--fake-model").join("snapshots");
    place_by_hand(&snapshots.join("another-revision"));
    assert!(store.find(NAME).unwrap().is_none());

    let pinned = snapshots.join(model()[0].revision);
    place_by_hand(&pinned);
    assert_eq!(store.find(NAME).unwrap().unwrap().dir(), pinned);
    assert_eq!(fs::read_dir(&pinned).unwrap().count(), 2);
    assert_eq!(store.pull(NAME, &mut ()).unwrap().dir(), pinned);

    fs::write(pinned.join("weights.bin"), b"damaged").unwrap();
    assert!(store.find(NAME).unwrap().is_none());
}

#[test]
fn folders_of_ours_come_before_the_hub_cache() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store(&folder.path().join("ours"));
    let hub = hf_hub::Cache::new(folder.path().join("hub"));
    let kept = hub.model("some/thing".to_owned());
    let snapshot = kept.pointer_path("commit");
    fs::create_dir_all(&snapshot).unwrap();
    fs::write(snapshot.join("model_index.json"), "{}").unwrap();
    fs::write(snapshot.join("x.safetensors"), "").unwrap();
    kept.create_ref("commit").unwrap();
    store.hub_cache = Some(hub);
    assert_eq!(store.folder("some/thing").unwrap(), snapshot);
    assert_eq!(store.folder("thing"), None);
    let own = folder.path().join("ours").join("thing");
    fs::create_dir_all(&own).unwrap();
    for name in ["some/thing", "thing"] {
        assert_eq!(store.folder(name).unwrap(), own);
    }
    assert_eq!(store.folder("../thing"), None);
    fs::write(own.join(".repository"), "other/thing").unwrap();
    assert_eq!(store.folder("some/thing").unwrap(), snapshot);
    assert_eq!(store.folder("other/thing").unwrap(), own);
}

#[test]
fn the_environment_says_where_models_are() {
    let from = |vars: &'static [(&str, &str)]| {
        ModelStore::from_vars(|name| {
            vars.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.into())
        })
    };
    let cache = |path: &str| PathBuf::from(path).join("unprompt").join("models");

    let store = from(&[("UNPROMPT_MODELS", "/m"), ("HOME", "/home/u")]).unwrap();
    assert_eq!(
        (store.home, store.others),
        ("/m".into(), vec![cache("/home/u/.cache")])
    );
    assert_eq!(store.sources.len(), 2);
    let hub_cache = store.hub_cache.unwrap();
    assert_eq!(
        hub_cache.path(),
        Path::new("/home/u/.cache/huggingface/hub")
    );

    let vars = &[
        ("UNPROMPT_MODELS", ""),
        ("XDG_CACHE_HOME", "/x"),
        ("HF_HOME", "/hf"),
    ];
    let store = from(vars).unwrap();
    assert_eq!((store.home, store.others.len()), (cache("/x"), 0));
    assert_eq!(store.hub_cache.unwrap().path(), Path::new("/hf/hub"));

    let store = from(&[("HOME", "/h"), ("HF_HUB_OFFLINE", "1")]).unwrap();
    assert_eq!(store.sources.len(), 1);
    assert!(matches!(from(&[]), Err(Error::NoModelFolder)));
}

#[test]
fn unknown_names_are_told_the_known_ones() {
    let folder = tempfile::tempdir().unwrap();
    let error = store(folder.path()).find("../fake-model").unwrap_err();
    assert!(error.to_string().contains(NAME), "{error}");
    place_by_hand(&folder.path().join(NAME));
    let files = store(folder.path()).find(NAME).unwrap().unwrap();
    assert!(matches!(
        files.path("../x"),
        Err(Error::UnknownModelFile { .. })
    ));
    assert_eq!(files.sha256("config.json").unwrap(), sha256(&config()));
}
