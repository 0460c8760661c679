//! Whatever bytes are sent as a ConversionReview: they are answered in JSON, and what was converted comes home.

#![no_main]
#![allow(dead_code, unused_imports, reason = "of the rooms only what reads and converts is asked")]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;

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
        let bytes: Vec<u8> = answer.pieces.into_vecs().flatten().collect();
        let answer: Result<Value, _> = serde_json::from_slice(&bytes);
        // Deeper than serde_json goes, or a number that it cannot hold, is no fault of ours.
        if let Ok(answer) = answer {
            assert!(answer["response"]["result"]["status"].is_string());
        }
        let Ok(text) = std::str::from_utf8(bytes.as_slice()) else { panic!("no UTF-8") };
        for object in serde_json::from_str::<Value>(text).ok().iter().flat_map(|all| all["response"]["convertedObjects"].as_array()).flatten() {
            comes_home(&object.to_string());
        }
    }
    if let Ok(object) = std::str::from_utf8(bytes) {
        comes_home(object);
    }
});

fn comes_home(object: &str) {
    // Read anew, so that no member is said twice; without an annotation that claims what was never parked.
    let Ok(object) = serde_json::from_str::<Value>(object) else { return };
    let object = object.to_string();
    if object.contains(LEGACY) {
        let _ = convert::convert(&object, Version::V1alpha1);
        let _ = convert::convert(&object, Version::V1beta1);
        return;
    }
    for to in [Version::V1alpha1, Version::V1beta1] {
        let Ok(there) = convert::convert(&object, to) else { continue };
        let home = convert::convert(std::str::from_utf8(&there.json).unwrap(), there.from).unwrap();
        let home = String::from_utf8(home.json).unwrap();
        // Metadata that is no object is never stored: the API server sees to it.
        assert!(convert::same(&home, &object) || object.contains("metadata"), "{object} by way of {there:?} became {home}");
    }
}
