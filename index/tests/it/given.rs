//! Prompts that were given by themselves, by images, and by predictions alone.

use std::ops::ControlFlow;

use unprompt_index::{
    BuildOptions, Deletion, Filter, ImageRecord, Index, PromptId, SearchRequest, Writer, delete,
};

use crate::util::{Built, built, compacted, image};

const WIDE: usize = 2;

fn at(degrees: f32) -> Vec<f32> {
    let (sin, cos) = degrees.to_radians().sin_cos();
    vec![cos, sin]
}

fn predicted(name: &str) -> ImageRecord {
    ImageRecord {
        predicted: Some(0.4),
        ..image(name)
    }
}

/// One prompt of each kind.
fn kinds() -> Built {
    let prompt = |text, degrees, images| (text, at(degrees), images);
    built(
        WIDE,
        [
            prompt("by itself", 0.0, vec![]),
            prompt("by an image", 10.0, vec![image("a.png")]),
            prompt("by a prediction", 20.0, vec![predicted("b.png")]),
            prompt("by both", 30.0, vec![predicted("c.png"), image("d.png")]),
            prompt("by itself and a prediction", 40.0, vec![]),
            prompt("by itself and a prediction", 40.0, vec![predicted("e.png")]),
        ],
    )
}

fn found(index: &Index, known_only: bool, filter: Option<&str>) -> Vec<String> {
    let request = SearchRequest {
        vector: Some(at(0.0)),
        known_only,
        filter: filter.map(|filter| Filter::parse(filter).unwrap()),
        ..SearchRequest::default()
    };
    let hits = index.search(&request).unwrap();
    hits.into_iter().map(|hit| hit.prompt).collect()
}

fn commit(writer: Writer) {
    writer.commit(&mut |_| ControlFlow::Continue(())).unwrap();
}

fn writer(built: &Built) -> Writer {
    Writer::open(&built.dir, BuildOptions::default()).unwrap()
}

#[test]
fn what_is_known_from_predictions_alone_can_be_left_out() {
    let built = kinds();
    let check = |index: &Index| {
        let all = [
            "by itself",
            "by an image",
            "by a prediction",
            "by both",
            "by itself and a prediction",
        ];
        let known = all.map(|prompt| (prompt != "by a prediction").then_some(prompt));
        let known: Vec<&str> = known.into_iter().flatten().collect();
        assert_eq!(found(index, false, None), all);
        assert_eq!(found(index, true, None), known);
        let filter = Some("predicted:*");
        assert_eq!(found(index, false, filter), all[2..]);
        assert_eq!(found(index, true, filter), known[2..]);
    };
    check(&built.index);
    // In a segment whose rows are others.
    let mut more = writer(&built);
    more.push("another", &at(90.0), vec![image("x.png")])
        .unwrap();
    commit(more);
    delete(
        &built.dir,
        &Deletion::Prompts(vec![PromptId::of("another")]),
    )
    .unwrap();
    compacted(&built.dir);
    check(&Index::open(&built.dir).unwrap());
}

#[test]
fn a_prompt_that_was_given_by_itself_stays_without_images() {
    let left = |change: &dyn Fn(&Built)| {
        let built = kinds();
        change(&built);
        found(&Index::open(&built.dir).unwrap(), false, None)
    };
    let expected = ["by itself", "by itself and a prediction"];
    let by_filter = |built: &Built| {
        let images = Filter::parse("image_name:*").unwrap();
        let report = delete(&built.dir, &Deletion::Matching(images)).unwrap();
        assert_eq!((report.prompts, report.images), (3, 5));
    };
    assert_eq!(left(&by_filter), expected);
    let by_name = |built: &Built| {
        let mut writer = writer(built);
        for name in ["a.png", "b.png", "c.png", "d.png", "e.png"] {
            assert_eq!(writer.remove_images(name).unwrap(), 1);
            assert_eq!(writer.remove_images(name).unwrap(), 0, "it is gone");
        }
        commit(writer);
    };
    assert_eq!(left(&by_name), expected);
}

#[test]
fn images_are_removed_wherever_they_have_moved() {
    let built = kinds();
    let mut writer = writer(&built);
    writer.add("by an image", vec![image("new.png")]).unwrap();
    assert_eq!(writer.remove_images("a.png").unwrap(), 1);
    commit(writer);
    let index = Index::open(&built.dir).unwrap();
    let entry = index.find(&PromptId::of("by an image")).unwrap().unwrap();
    assert_eq!(index.images(entry, None, 9).unwrap().0, [image("new.png")]);
}
