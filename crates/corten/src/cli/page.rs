//! The help page: the verbs in the order in which people meet them, not in that of the alphabet.

use std::fmt::Write as _;

/// The verbs by what they are for. A test holds it against the commands there are.
const GROUPS: [(&str, &[&str]); 5] = [
    ("Run", &["run", "exec", "ps", "logs", "stop", "rm"]),
    ("Make and take out", &["build", "import", "export", "unpack", "bundle"]),
    ("Move", &["pull", "push", "copy", "tags", "login", "logout"]),
    ("Keep", &["images", "tag", "remove", "gc", "cache", "store"]),
    ("Look and check", &["inspect", "ls", "cat", "diff", "validate", "doctor"]),
];

/// Verbs that say by their names what they do, to those who need them: a line for all of each group.
const BRIEF: [(&str, &[&str]); 5] = [
    ("More of images", &["append", "edit", "mount", "unmount"]),
    (
        "More of containers",
        &["create", "start", "attach", "kill", "pause", "resume", "rename", "wait", "commit", "cp"],
    ),
    ("Beside them", &["pod", "volume", "unit"]),
    ("Looking at them", &["status", "top", "stats", "events"]),
    ("For other engines", &["oci"]),
];

/// The page that `corten --help` shows.
pub(super) fn page(command: &clap::Command) -> String {
    let mut page = String::from(
        "corten: make, move, look at and check OCI images.\n\n\
         Usage: corten VERB [ARGUMENTS] [OPTIONS]\n",
    );
    for (title, verbs) in GROUPS {
        let _ = write!(page, "\n{title}\n");
        for verb in verbs {
            let about = command
                .find_subcommand(verb)
                .and_then(clap::Command::get_about)
                .map(ToString::to_string)
                .unwrap_or_default();
            let _ = writeln!(page, "  {verb:10} {about}");
        }
    }
    page.push('\n');
    for (title, verbs) in BRIEF {
        let _ = writeln!(page, "{title}: {}", verbs.join(", "));
    }
    page.push_str(
        "\nPlaces\n\
         \x20 example.com/team/app:1.0   a registry; a bare name such as debian:13 is on docker.io\n\
         \x20 oci:DIR[:NAME]             an OCI layout; @DIGEST picks by digest\n\
         \x20 oci-archive:FILE[:NAME]    an OCI layout in a tar; - is standard input or output\n\
         \x20 dir:PATH                   one image as a flat directory of files\n\
         \x20 store:NAME                 the local store; verbs that look take bare names from it first\n\
         \nEvery verb\n\
         \x20 --json      the report as JSON        --quiet     no progress\n\
         \x20 --store DIR the local store           --jobs N    blobs in flight\n\
         \x20 --insecure http|skip-verify           --authfile FILE, --config FILE\n\
         \nTry\n\
         \x20 corten import rootfs.tar app --cmd '[\"/bin/sh\"]'   make an image of any root filesystem\n\
         \x20 corten validate app                               check every byte and every rule\n\
         \x20 corten push app registry.example.com/team/app:1.0\n\
         \x20 corten ls debian:13 /etc                          look into an image that is not here\n\
         \n'corten VERB --help' tells the rest; 'corten completion bash' prints completions.\n\
         Exit codes: 0 done, 2 usage, 3 not found, 4 denied, 5 no such platform, 6 rate limited,\n\
         7 corrupt, 8 unreachable, 9 the answer is no (validate, diff, doctor), 1 anything else.\n",
    );
    page
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn every_verb_stands_on_the_page_once() {
        let command = crate::cli::command();
        // Small print at the page's end.
        let apart = ["completion", "reference"];
        let there: BTreeSet<&str> =
            command.get_subcommands().map(clap::Command::get_name).collect();
        let grouped = super::GROUPS.iter().chain(&super::BRIEF);
        let grouped = grouped.flat_map(|(_, verbs)| verbs.iter().copied());
        let listed: Vec<&str> = grouped.chain(apart).collect();
        assert_eq!(there, listed.iter().copied().collect::<BTreeSet<_>>());
        assert_eq!(there.len(), listed.len());
    }

    #[test]
    fn the_page_fits_a_terminal() {
        let page = super::page(&crate::cli::command());
        let widest = page.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(100), "{page}");
        assert!(page.lines().count() <= 70, "{page}");
    }
}
