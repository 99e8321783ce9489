//! Stacks of layers: what the merged tree holds, how paths are followed in it, how it is written
//! out, and how two trees differ.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{self, Read};

use corten_layer::{
    Aspect, ChangeKind, Compression, Contents, Entry, EntryKind, LayerError, LayerRule, Limits,
    Merged, PackOptions, RootEntry, Stack, Tar, TarWriter, TreePath, changes, copy_content, export,
    pack_tar,
};
use corten_spec::Digest;

/// A layer from lines: `dir d`, `file f content`, `link l target`, `hard h target`.
fn layer(lines: &[&str]) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    for line in lines {
        let mut words = line.split(' ');
        let (kind, name) = (words.next().unwrap(), words.next().unwrap());
        let rest = words.next().unwrap_or_default();
        let (mode, kind) = match kind.strip_prefix("0") {
            Some(mode) => (u32::from_str_radix(mode, 8).ok(), "dir"),
            None => (None, kind),
        };
        let kind = match kind {
            "dir" => EntryKind::Directory,
            "file" => EntryKind::File,
            "link" => EntryKind::Symlink,
            "hard" => EntryKind::HardLink,
            other => panic!("{other}"),
        };
        let mut entry = Entry::new(kind, name);
        entry.mode = mode.unwrap_or(entry.mode);
        if kind == EntryKind::File {
            entry.size = rest.len() as u64;
            writer.file(&entry, rest.as_bytes()).unwrap();
        } else {
            entry.link = rest.into();
            writer.entry(&entry).unwrap();
        }
    }
    writer.finish().unwrap()
}

/// What a stack is read from.
fn source(stack: &[Vec<u8>]) -> impl FnMut(usize) -> io::Result<Box<dyn Read>> + use<> {
    let stack = stack.to_vec();
    move |layer| Ok(Box::new(io::Cursor::new(stack[layer].clone())) as Box<dyn Read>)
}

fn merge(stack: &[Vec<u8>]) -> Result<Merged, LayerError> {
    Merged::read(&mut source(stack), stack.len(), Contents::Digest, Limits::default())
}

/// The tree as lines: path, layer, and content or target.
fn lines(stack: &[Vec<u8>]) -> Vec<String> {
    let merged = merge(stack).unwrap();
    let mut lines = Vec::new();
    let mut source_of_stack = source(stack);
    let mut lazy = Stack::new(&mut source_of_stack, stack.len(), Limits::default());
    for (path, node) in merged.iter().skip(1) {
        // The lazy view knows each file of the merged tree, but for digests it does not compute.
        let found = lazy.at(path).unwrap().unwrap_or_else(|| panic!("{path} is lost"));
        let (a, b) = ((found.layer, &found.entry), (node.layer, &node.entry));
        assert!(a == b || (node.implied && found.implied), "{path}: {a:?} {b:?}");
        let what = match node.entry.kind {
            EntryKind::Directory if node.implied => "implied".to_owned(),
            EntryKind::Directory => format!("{:o}", node.entry.mode),
            EntryKind::Symlink => String::from_utf8(node.entry.link.clone()).unwrap(),
            _ => {
                let mut content = Vec::new();
                copy_content(&mut source(stack), node, Limits::default(), &mut content).unwrap();
                assert_eq!(node.content, Some(Digest::sha256(&content)));
                String::from_utf8(content).unwrap()
            }
        };
        lines.push(format!("{path} {} {what}", node.layer));
    }
    lines
}

fn refusal(stack: &[Vec<u8>]) -> LayerRule {
    merge(stack).err().unwrap().rule().unwrap()
}

#[test]
fn upper_entries_replace_lower_ones() {
    let base = layer(&["dir a", "file a/x old", "file a/y kept", "dir b", "file b/z z"]);
    let top = layer(&["0700 a", "file a/x new", "file b now-a-file"]);
    assert_eq!(lines(&[base, top]), ["/a 1 700", "/a/x 1 new", "/a/y 0 kept", "/b 1 now-a-file"]);
}

#[test]
fn whiteouts_hide_lower_layers_wherever_they_stand() {
    let base = layer(&["dir a", "file a/x 1", "dir a/d", "file a/d/e 2", "file keep 3"]);
    let first = layer(&["dir a", "file a/.wh.x", "file a/.wh.d"]);
    assert_eq!(lines(&[base.clone(), first]), ["/a 1 755", "/keep 0 3"]);
    // The new entry comes before the whiteout of the old one, and stays.
    let late = layer(&["dir a", "file a/x new", "file a/.wh.x"]);
    let wanted = ["/a 1 755", "/a/d 0 755", "/a/d/e 0 2", "/a/x 1 new", "/keep 0 3"];
    assert_eq!(lines(&[base.clone(), late]), wanted);
    let opaque = layer(&["dir a", "file a/new n", "file a/.wh..wh..opq"]);
    assert_eq!(lines(&[base.clone(), opaque]), ["/a 1 755", "/a/new 1 n", "/keep 0 3"]);
    let all = layer(&["file only o", "file .wh..wh..opq"]);
    assert_eq!(lines(&[base, all]), ["/only 1 o"]);
}

#[test]
fn whiteouts_reach_no_further_than_their_path() {
    let base = layer(&["dir a", "file a/x 1", "file a-b 2", "file a.c 3", "file ab 4"]);
    let top = layer(&["file .wh.a"]);
    assert_eq!(lines(&[base, top]), ["/a-b 0 2", "/a.c 0 3", "/ab 0 4"]);
}

#[test]
fn hard_links_keep_the_file_they_named() {
    let base = layer(&["file a one", "hard b a"]);
    let top = layer(&["file a two", "hard c b", "file .wh.b"]);
    // b is hidden before the entries of its layer come: c has nothing to name.
    assert_eq!(refusal(&[base.clone(), top]), LayerRule::HardlinkTarget);
    let top = layer(&["file a two", "hard c b"]);
    assert_eq!(lines(&[base, top]), ["/a 1 two", "/b 0 one", "/c 0 one"]);
}

#[test]
fn parents_that_are_missing_are_implied() {
    assert_eq!(
        lines(&[layer(&["file a/b/c x"])]),
        ["/a 0 implied", "/a/b 0 implied", "/a/b/c 0 x"]
    );
    let base = layer(&["dir usr", "dir usr/lib", "file usr/lib/x 1", "link lib usr/lib"]);
    let top = layer(&["file lib/y 2"]);
    let wanted = ["/lib 1 implied", "/lib/y 1 2", "/usr 0 755", "/usr/lib 0 755", "/usr/lib/x 0 1"];
    assert_eq!(lines(&[base, top]), wanted);
}

#[test]
fn layers_that_make_no_tree_are_refused() {
    let cases: [(&[&str], LayerRule); 7] = [
        (&["link a b", "file a/x 1"], LayerRule::BelowNonDirectory),
        (&["file ../x 1"], LayerRule::ParentPath),
        (&["hard a b"], LayerRule::HardlinkTarget),
        (&["dir b", "hard a b"], LayerRule::HardlinkToDirectory),
        (&["file .wh. x"], LayerRule::BareWhiteout),
        (&["file a/.wh..."], LayerRule::WhiteoutOfDot),
        (&["file . x"], LayerRule::RootNotDirectory),
    ];
    for (lines, rule) in cases {
        assert_eq!(refusal(&[layer(lines)]), rule, "{lines:?}");
    }
}

#[test]
fn paths_are_followed_inside_the_root() {
    let stack = [layer(&[
        "dir usr",
        "dir usr/bin",
        "file usr/bin/sh shell",
        "link bin usr/bin",
        "link up ../../..",
        "link abs /usr/bin/sh",
        "link loop loop",
        "link out ../../etc/passwd",
    ])];
    let merged = merge(&stack).unwrap();
    for path in ["bin/sh", "/bin/sh", "abs", "up/up/bin/sh", "../../bin/../bin/sh", "bin//./sh"] {
        assert_eq!(merged.find(path.as_bytes()).unwrap().0.to_string(), "/usr/bin/sh", "{path}");
    }
    assert_eq!(merged.find(b"").unwrap().0, TreePath::root());
    for path in ["none", "out", "bin/sh/x", "usr/bin/sh/.."] {
        let error = merged.find(path.as_bytes()).err().unwrap();
        assert!(matches!(error, LayerError::NotFound { .. }), "{path}: {error}");
    }
    assert!(matches!(merged.find(b"loop"), Err(LayerError::SymlinkLoop { .. })));
}

#[test]
fn an_exported_tree_is_the_merged_one() {
    let stack = [
        layer(&["dir etc", "file etc/a one", "hard etc/z etc/a", "file gone x", "link s etc"]),
        layer(&["dir d", "file d/f two", "file .wh.gone", "hard d/g etc/a", "file empty"]),
    ];
    let merged = merge(&stack).unwrap();
    let mut out = Vec::new();
    let entries = export(&merged, &mut source(&stack), Limits::default(), &mut out).unwrap();
    let mut tar = Tar::new(out.as_slice(), Limits::default());
    let mut names = Vec::new();
    while let Some(entry) = tar.next_entry().unwrap() {
        names.push(String::from_utf8(entry.name).unwrap());
    }
    assert_eq!(names, ["empty", "s", "d/g", "etc/a", "etc/z", "d/f", "d/", "etc/"]);
    assert_eq!(entries, 8);
    let again = merge(&[out]).unwrap();
    assert_eq!(changes(&merged, &again), []);
    assert_eq!(again.at(&path("etc/z")).unwrap().ordinal, again.at(&path("d/g")).unwrap().ordinal);
}

#[test]
fn an_exported_layer_can_be_packed_again() {
    let stack = [layer(&["dir b", "file b/c x", "hard a b/c"])];
    let mut out = io::Cursor::new(Vec::new());
    export(&merge(&stack).unwrap(), &mut source(&stack), Limits::default(), &mut out).unwrap();
    out.set_position(0);
    let options = PackOptions { root: RootEntry::Keep, ..PackOptions::new(Compression::None) };
    let (packed, bytes) = pack_tar(out, &options, Vec::new()).unwrap();
    assert_eq!(packed.entries, 3);
    assert_eq!(changes(&merge(&stack).unwrap(), &merge(&[bytes]).unwrap()), []);
}

fn path(text: &str) -> TreePath {
    TreePath::parse(text.as_bytes()).unwrap()
}

#[test]
fn differences_are_told_with_their_aspects() {
    let old = merge(&[layer(&["0755 d", "file d/x abc", "file d/y 1", "file gone g", "link l a"])]);
    let new = merge(&[layer(&["0700 d", "file d/x abd", "file d/y 22", "file new n", "link l b"])]);
    let seen: Vec<_> = changes(&old.unwrap(), &new.unwrap())
        .into_iter()
        .map(|change| (change.path.to_string(), change.kind))
        .collect();
    let changed = |aspects: &[Aspect]| ChangeKind::Changed(aspects.to_vec());
    let wanted = [
        ("/d", changed(&[Aspect::Mode])),
        ("/d/x", changed(&[Aspect::Content])),
        ("/d/y", changed(&[Aspect::Size, Aspect::Content])),
        ("/gone", ChangeKind::Removed),
        ("/l", changed(&[Aspect::Link])),
        ("/new", ChangeKind::Added),
    ];
    assert_eq!(seen, wanted.map(|(path, kind)| (path.to_owned(), kind)));
}

#[test]
fn a_source_that_changes_between_two_reads_is_found() {
    let stack = [layer(&["file a 1", "file b 2"])];
    let merged = merge(&stack).unwrap();
    let other = [layer(&["file b 1"])];
    let result = export(&merged, &mut source(&other), Limits::default(), io::sink());
    assert!(matches!(result, Err(LayerError::Changed { .. })), "{result:?}");
}

#[test]
fn the_entries_of_a_stack_are_bounded() {
    let stack = [layer(&["file a", "file b"]), layer(&["file c", "file d"])];
    let limits = Limits { entries: 4, ..Limits::default() };
    let result = Merged::read(&mut source(&stack), 2, Contents::Skip, limits);
    assert!(matches!(result.err(), Some(LayerError::Limit { what: "entries", limit: 4, .. })));
}

#[test]
fn what_a_stack_takes_in_memory_is_bounded() {
    let stack = [layer(&["link a aaaaaaaaaa"]), layer(&["link b bbbbbbbbbb"])];
    let limits = Limits { metadata: 20, ..Limits::default() };
    let merged = |count| Merged::read(&mut source(&stack), count, Contents::Skip, limits).err();
    assert!(merged(1).is_none());
    assert!(matches!(merged(2), Some(LayerError::Limit { what: "metadata", limit: 20, .. })));
    let (mut layers, limits) = (source(&stack), limits);
    let found = Stack::new(&mut layers, 2, limits).at(&path("none"));
    assert!(matches!(found, Err(LayerError::Limit { what: "metadata", limit: 20, .. })));
}

#[test]
fn directories_that_deep_paths_imply_count_too() {
    let stack = [layer(&["file a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p content"])];
    let limits = Limits { metadata: 2048, ..Limits::default() };
    let refused = |result: Option<LayerError>| {
        let rule = LayerRule::LimitExceeded;
        assert!(matches!(result, Some(LayerError::Refused { rule: r, .. }) if r == rule));
    };
    refused(Merged::read(&mut source(&stack), 1, Contents::Skip, limits).err());
    refused(Stack::new(&mut source(&stack), 1, limits).at(&path("a")).err());
}

#[test]
fn each_attribute_counts_more_than_its_bytes() {
    let mut entry = Entry::new(EntryKind::File, "f");
    for name in 0..100_u8 {
        entry.xattrs.insert(vec![b'a', b'a' + name % 26, b'a' + name / 26], Vec::new());
    }
    let mut writer = TarWriter::new(Vec::new());
    writer.entry(&entry).unwrap();
    let stack = [writer.finish().unwrap()];
    let limits = Limits { metadata: 4096, ..Limits::default() };
    let result = Merged::read(&mut source(&stack), 1, Contents::Skip, limits);
    assert!(matches!(result.err(), Some(LayerError::Limit { what: "metadata", .. })));
}

#[test]
fn what_the_merged_tree_lacks_the_lazy_one_lacks() {
    let stack = [
        layer(&["dir a", "file a/x 1", "dir b", "file b/y 2", "file c 3", "link l a", "dir e"]),
        layer(&["file .wh.c", "file a/.wh..wh..opq", "file b now-a-file", "file l/new 4"]),
    ];
    let merged = merge(&stack).unwrap();
    let mut source = source(&stack);
    let mut lazy = Stack::new(&mut source, 2, Limits::default());
    for name in ["a", "a/x", "b", "b/y", "c", "l", "l/x", "l/new", "e", "none", "e/none"] {
        let (found, wanted) = (lazy.at(&path(name)).unwrap(), merged.at(&path(name)));
        assert_eq!(found.map(|n| n.entry.kind), wanted.map(|n| n.entry.kind), "{name}");
    }
}

#[test]
fn a_file_of_the_top_layer_needs_no_other() {
    let stack = [
        layer(&["dir etc", "file etc/a old", "file etc/b base"]),
        layer(&["dir etc", "file etc/a new", "link etc/s b"]),
    ];
    let mut one = source(&stack);
    let mut lazy = Stack::new(&mut one, 2, Limits::default());
    assert_eq!(lazy.find(b"/etc/a").unwrap().1.layer, 1);
    assert_eq!(lazy.read(), 1);
    assert_eq!(lazy.find(b"etc/s").unwrap().0.to_string(), "/etc/b");
    assert_eq!(lazy.read(), 2);
    assert!(matches!(lazy.find(b"etc/none"), Err(LayerError::NotFound { .. })));
}
