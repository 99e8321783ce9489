//! Whiteouts: the entries that hide what lower layers have (image-spec `layer.md`, Whiteouts).

use crate::{LayerRule, TreePath};

/// What every whiteout's file name begins with.
pub const WHITEOUT_PREFIX: &[u8] = b".wh.";

/// The file name that hides everything lower layers have in its directory.
pub const OPAQUE_MARKER: &[u8] = b".wh..wh..opq";

/// What the name of an entry hides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whiteout {
    /// This path, and all below it, of lower layers.
    Path(TreePath),
    /// All that lower layers have below this directory.
    Below(TreePath),
    /// Nothing: a name that AUFS reserved (`.wh..wh.plnk`), or something below one. Engines skip
    /// such entries.
    Reserved,
}

impl Whiteout {
    /// Reads `path`; `None` for an ordinary entry. A name that hides nothing legal is a rule broken.
    pub fn of(path: &TreePath) -> Result<Option<Self>, LayerRule> {
        let Some((parent, name)) = path.split() else {
            return Ok(None);
        };
        if parent.components().any(is_reserved) {
            return Ok(Some(Self::Reserved));
        }
        let Some(hidden) = name.strip_prefix(WHITEOUT_PREFIX) else {
            // An ordinary name below a whiteout: the whiteout would have to be a directory.
            let below = parent.components().any(|above| above.starts_with(WHITEOUT_PREFIX));
            return if below { Err(LayerRule::WhiteoutNotRegular) } else { Ok(None) };
        };
        match hidden {
            _ if name == OPAQUE_MARKER => Ok(Some(Self::Below(parent))),
            _ if is_reserved(name) => Ok(Some(Self::Reserved)),
            b"" => Err(LayerRule::BareWhiteout),
            b"." | b".." => Err(LayerRule::WhiteoutOfDot),
            _ => Ok(Some(Self::Path(parent.join(hidden)))),
        }
    }
}

fn is_reserved(name: &[u8]) -> bool {
    name.starts_with(b".wh..wh.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Option<Whiteout>, LayerRule> {
        Whiteout::of(&path(text))
    }

    fn path(text: &str) -> TreePath {
        TreePath::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn whiteouts_are_told_from_ordinary_names() {
        assert_eq!(of("etc/passwd"), Ok(None));
        assert_eq!(of("etc/x.wh.y"), Ok(None));
        assert_eq!(of("etc/.wh.passwd"), Ok(Some(Whiteout::Path(path("etc/passwd")))));
        assert_eq!(of("etc/.wh..wh..opq"), Ok(Some(Whiteout::Below(path("etc")))));
        assert_eq!(of(".wh..wh..opq"), Ok(Some(Whiteout::Below(path("")))));
        assert_eq!(of(".wh..wh.plnk"), Ok(Some(Whiteout::Reserved)));
        assert_eq!(of(".wh..wh.plnk/12.34"), Ok(Some(Whiteout::Reserved)));
    }

    #[test]
    fn whiteouts_of_nothing_legal_are_refused() {
        assert_eq!(of("a/.wh."), Err(LayerRule::BareWhiteout));
        assert_eq!(of("a/.wh.."), Err(LayerRule::WhiteoutOfDot));
        assert_eq!(of("a/.wh..."), Err(LayerRule::WhiteoutOfDot));
        assert_eq!(of("a/.wh.b/c"), Err(LayerRule::WhiteoutNotRegular));
    }
}
