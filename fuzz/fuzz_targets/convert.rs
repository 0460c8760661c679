//! Whatever bytes are sent as a ConversionReview: they are answered in JSON, and what was converted comes home.

#![no_main]
#![allow(dead_code, unused_imports, reason = "of the rooms only what reads and converts is asked")]

use libfuzzer_sys::fuzz_target;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use convert::{LEGACY, Version};
use webhook::conversion::ConversionReview;

/// The rooms themselves, by their files: the whole crate, instrumented, takes half an hour to build.
#[path = "../../src/api"]
mod api {
    pub mod duration;
    pub mod facts;
}
#[path = "../../src/convert/mod.rs"]
mod convert;
#[path = "../../src/line.rs"]
mod line;
#[path = "../../src/webhook"]
mod webhook {
    pub mod conversion;
    pub mod review;
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(review) = ConversionReview::decode(bytes) {
        let answer = review.answer(convert::convert, &|| false).unwrap();
        let failed = answer.failed.is_some();
        let answered: Vec<u8> = answer.pieces.into_vecs().flatten().collect();
        let Ok(text) = std::str::from_utf8(answered.as_slice()) else { panic!("no UTF-8") };
        let Ok(answer) = serde_json::from_str::<Answered>(text) else { panic!("no answer: {text}") };
        let Ok(asked) = serde_json::from_slice::<Asked>(bytes) else { panic!("read by us alone") };
        assert_eq!((&*answer.kind, &answer.response.uid), ("ConversionReview", &asked.request.uid));
        assert_eq!(answer.api_version, asked.api_version);
        assert_eq!(answer.response.result.status, if failed { "Failed" } else { "Success" });
        let before = asked.request.objects.unwrap_or_default();
        let after = answer.response.objects;
        assert_eq!(after.len(), if failed { 0 } else { before.len() });
        for (before, after) in before.iter().zip(&after) {
            // Deeper than serde_json goes, or a number that it cannot hold, is no fault of ours.
            let [before, after] = [before, after].map(|object| serde_json::from_str::<Value>(object.get()));
            let (Ok(before), Ok(after)) = (before, after) else { continue };
            assert_eq!(after["apiVersion"].as_str(), asked.request.desired.as_deref());
            for name in ["name", "namespace", "uid"] {
                assert_eq!(after["metadata"].get(name), before["metadata"].get(name));
            }
            assert_eq!(after["kind"], before["kind"]);
            comes_home(&after.to_string());
        }
    }
    if let Ok(object) = std::str::from_utf8(bytes) {
        comes_home(object);
    }
});

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked<'a> {
    api_version: String,
    #[serde(borrow)]
    request: Request<'a>,
}

#[derive(Deserialize)]
struct Request<'a> {
    uid: String,
    #[serde(rename = "desiredAPIVersion")]
    desired: Option<String>,
    #[serde(borrow)]
    objects: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answered<'a> {
    api_version: String,
    kind: String,
    #[serde(borrow)]
    response: Response<'a>,
}

#[derive(Deserialize)]
struct Response<'a> {
    uid: String,
    #[serde(borrow, rename = "convertedObjects")]
    objects: Vec<&'a RawValue>,
    result: Outcome,
}

#[derive(Deserialize)]
struct Outcome {
    status: String,
}

fn comes_home(object: &str) {
    // Read anew, so that no member is said twice; without an annotation that claims what was never parked.
    let Ok(object) = serde_json::from_str::<Value>(object) else { return };
    let object = object.to_string();
    if object.contains(LEGACY) {
        for to in [Version::V1alpha1, Version::V1beta1] {
            let Ok(there) = convert::convert(&object, to) else { continue };
            let there: Value = serde_json::from_slice(&there.json).unwrap_or_default();
            let read: Value = serde_json::from_str(&object).unwrap();
            let annotation = &there["metadata"]["annotations"][LEGACY];
            // The API server takes no other, and sends none.
            assert!(
                matches!(annotation, Value::Null | Value::String(_))
                    || annotation == &read["metadata"]["annotations"][LEGACY]
            );
        }
        return;
    }
    for to in [Version::V1alpha1, Version::V1beta1] {
        let Ok(there) = convert::convert(&object, to) else { continue };
        // Metadata that is no object is never stored: the API server sees to it.
        assert!(
            convert::comes_home(&object, &there).unwrap() || object.contains("metadata"),
            "{object} by way of {there:?}"
        );
    }
}
