//! Checks of how instructions are written.

use super::{Advisor, Check};
use crate::keyword::Keyword;
use crate::position::Word;
use crate::statement::Statement;
use crate::syntax::Syntax;

pub(super) fn check_lines(syntax: &Syntax, advisor: &mut Advisor) {
    for span in &syntax.empty_continuations {
        let text = "a line within this instruction is empty, which will be an error".to_owned();
        advisor.say(&[], Check::NoEmptyContinuation, *span, text);
    }
}

pub(super) fn check_statement(statement: &Statement, advisor: &mut Advisor) {
    match Keyword::named(&statement.keyword.text) {
        Some(Keyword::Maintainer) => {
            let text = "MAINTAINER is deprecated, the label \
                        org.opencontainers.image.authors takes its place"
                .to_owned();
            let check = Check::MaintainerDeprecated;
            advisor.say(&statement.comments, check, statement.span, text);
        }
        Some(Keyword::From) => check_from(statement, advisor),
        Some(Keyword::Arg) => {
            let words = statement.arguments.words();
            let keys: Vec<&str> = words.iter().map(|word| key(word)).collect();
            check_description("ARG", &keys, statement, advisor);
        }
        _ => {}
    }
}

fn key(word: &Word) -> &str {
    word.text.split('=').next().unwrap_or_default()
}

fn check_from(statement: &Statement, advisor: &mut Advisor) {
    let words = statement.arguments.words();
    let [_, word, name] = words.as_slice() else { return };
    let lower = name.text.to_lowercase();
    if name.text != lower {
        let text = format!("the stage name `{}` is not in lower case", name.text);
        advisor.say(&statement.comments, Check::StageNameCasing, statement.span, text);
    }
    let from = &statement.keyword.text;
    let expected = match from {
        from if *from == from.to_lowercase() => Some(word.text.to_lowercase()),
        from if *from == from.to_uppercase() => Some(word.text.to_uppercase()),
        // What FROM's own case is, another check says.
        _ => None,
    };
    if expected.is_some_and(|expected| expected != word.text) {
        let text = format!("`{}` is not written in the case of `{from}`", word.text);
        advisor.say(&statement.comments, Check::FromAsCasing, statement.span, text);
    }
    check_description("FROM", &[&lower], statement, advisor);
}

/// The last comment above a definition says what it is, beginning with its name.
fn check_description(keyword: &str, names: &[&str], statement: &Statement, advisor: &mut Advisor) {
    let Some(last) = statement.comments.last() else { return };
    let first = last.split(' ').next().unwrap_or_default();
    let [name, ..] = names else { return };
    if names.contains(&first) {
        return;
    }
    let name = if names.len() > 1 { "<name>" } else { name };
    let text = format!("the comment above {keyword} does not read `# {name} <description>`");
    advisor.say(&statement.comments, Check::InvalidDefinitionDescription, statement.span, text);
}
