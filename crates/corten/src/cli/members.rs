//! The words of the images of a pod: `A --- B`.

use clap::Parser;

use super::run::ContainerArgs;
use super::{Context, Failure};
use crate::ops::{Network, PodRequest};

/// What stands between two images of a pod.
const NEXT: &str = "---";

/// The words after a '---'.
#[derive(Parser)]
#[command(no_binary_name = true, disable_version_flag = true)]
struct MemberArgs {
    #[command(flatten)]
    container: ContainerArgs,
}

/// Refuses what are no arguments of `run` about one image.
pub(super) fn check_words(words: &[String]) -> Result<(), Failure> {
    let parsed = MemberArgs::try_parse_from(words).map_err(|error| Failure::Usage(said(&error)))?;
    if is_of_several(&parsed.container) {
        return Err(Failure::Usage("a unit runs one image".to_owned()));
    }
    Ok(())
}

/// The first line of what is wrong with arguments.
fn said(error: &clap::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// Whether these are the arguments of several images.
pub(super) fn is_of_several(args: &ContainerArgs) -> bool {
    args.arguments.iter().any(|word| word == NEXT)
}

/// What is asked of a pod by the words of its members.
pub(super) fn request(
    context: &Context,
    name: Option<String>,
    mut first: ContainerArgs,
) -> Result<PodRequest, Failure> {
    let words = std::mem::take(&mut first.arguments);
    let mut parts = words.split(|word| word == NEXT);
    first.arguments = parts.next().unwrap_or_default().to_vec();
    let mut members = vec![first];
    for words in parts {
        let parsed = MemberArgs::try_parse_from(words)
            .map_err(|error| Failure::Usage(format!("after {NEXT}: {}", said(&error))))?;
        members.push(parsed.container);
    }
    let mut pod = PodRequest { name, ..PodRequest::default() };
    for (number, member) in members.into_iter().enumerate() {
        let says = member.settings.network.says_which();
        let mut member = member.request(context)?;
        if number == 0 {
            pod.network = std::mem::take(&mut member.options.network);
            pod.hostname = member.options.hostname.take();
        } else if says {
            let text = "--network and --hostname belong to the first image: a pod has one of each";
            return Err(Failure::Usage(text.to_owned()));
        } else {
            publish(&mut pod.network, std::mem::take(&mut member.options.network))?;
        }
        pod.members.push(member);
    }
    Ok(pod)
}

/// The ports of a later member are the pod's.
fn publish(pod: &mut Network, member: Network) -> Result<(), Failure> {
    let ports = match member {
        Network::Private { publish, .. } => publish,
        Network::None | Network::Host => Vec::new(),
    };
    match pod {
        Network::Private { publish, .. } => publish.extend(ports),
        _ if ports.is_empty() => {}
        _ => {
            let text = "--publish needs a network of the pod's own: --network private";
            return Err(Failure::Usage(text.to_owned()));
        }
    }
    Ok(())
}
