//! Content embedded in descriptors, and sizes.

use super::*;

fn embedding(data: &str, content: &[u8]) -> Descriptor {
    let mut descriptor = Descriptor::of(MediaType::OCI_EMPTY, content);
    descriptor.data = Some(data.to_owned());
    descriptor
}

#[test]
fn the_empty_descriptor_is_the_one_of_the_specification() {
    let descriptor = empty_descriptor();
    assert_eq!(
        descriptor.digest.as_str(),
        "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    );
    assert_eq!(descriptor.size, 2);
    assert_eq!(descriptor.embedded().unwrap().unwrap(), EMPTY_JSON);
}

#[test]
fn embedded_content_is_checked_against_its_descriptor() {
    assert_eq!(Descriptor::of(MediaType::OCI_EMPTY, b"{}").embedded().unwrap(), None);
    assert_eq!(embedding("", b"").embedded().unwrap().unwrap(), &b""[..]);
    let other = embedding("e31=", b"{}").embedded();
    assert!(matches!(other, Err(EmbeddedError::Base64 { .. })), "{other:?}");
    let other = embedding("W10=", b"{}").embedded();
    assert!(matches!(other, Err(EmbeddedError::Mismatch(Mismatch::Digest { .. }))), "{other:?}");
    let longer = embedding("e30K", b"{}").embedded();
    assert!(matches!(longer, Err(EmbeddedError::Mismatch(Mismatch::TooLong { .. }))));
    let shorter = embedding("ew==", b"{}").embedded();
    assert!(matches!(shorter, Err(EmbeddedError::Mismatch(Mismatch::TooShort { .. }))));
    for text in ["e30", "e30_", " e30=", "e3 0=", "e30=\n"] {
        let read = embedding(text, b"{}").embedded();
        assert!(matches!(read, Err(EmbeddedError::Base64 { .. })), "{text}: {read:?}");
    }
}

#[test]
fn no_more_is_decoded_than_the_limit() {
    let mut descriptor = embedding("e30=", b"{}");
    descriptor.size = MAX_EMBEDDED + 1;
    assert!(matches!(descriptor.embedded(), Err(EmbeddedError::TooLarge { .. })));
    let limit = usize::try_from(MAX_EMBEDDED_TEXT).unwrap();
    let descriptor = embedding(&"A".repeat(limit + 4), b"{}");
    assert!(matches!(descriptor.embedded(), Err(EmbeddedError::TooLarge { .. })));
}

#[test]
fn a_size_is_an_int64_and_not_negative() {
    let read = |size: &str| {
        let digest = Digest::sha256(b"");
        let text = format!(r#"{{"mediaType":"a/b","digest":"{digest}","size":{size}}}"#);
        serde_json::from_str::<Descriptor>(&text).map(|descriptor| descriptor.size)
    };
    assert_eq!(read("0").unwrap(), 0);
    assert_eq!(read("9223372036854775807").unwrap(), 9223372036854775807);
    for size in ["9223372036854775808", "-1", "1.0", "1e3", "\"1\"", "null"] {
        assert!(read(size).is_err(), "{size}");
    }
}
