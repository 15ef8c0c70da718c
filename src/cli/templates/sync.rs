//! Pull, push and diff.

use std::path::Path;

use anyhow::{Context, bail};
use similar::TextDiff;

use super::folder::{Folder, Local, Pulled, Tag, Tags};
use super::remote::{Remote, Written};
use super::text;

/// How to pull.
pub(super) struct PullWish {
    /// Whether the files of what is not on the server are deleted.
    pub(super) deletes: bool,
    /// Whether files that were edited here are written over and deleted, too.
    pub(super) forces: bool,
}

/// Writes what is saved on the server into the folder.
pub(super) async fn pull(remote: &Remote, dir: &Path, wish: &PullWish) -> anyhow::Result<()> {
    let folder = Folder::open(dir)?;
    let mut tags = folder.tags.clone().unwrap_or_default();
    let saved = remote.tags().await?;
    tags.retain(|code, _| saved.contains_key(code));
    let mut failed = 0;
    for code in saved.keys() {
        let pulled = async {
            let (source, tag) = remote.template(code).await?;
            Ok::<_, anyhow::Error>((folder.write(&source, wish.forces)?, tag))
        };
        let (told, hash, tag) = match pulled.await {
            Ok((Pulled::Written(hash), tag)) => ("written  ", hash, tag),
            Ok((Pulled::Unchanged(hash), tag)) => ("unchanged", hash, tag),
            Ok((Pulled::Edited(path), _)) => {
                println!("edited     {code}: `{}` was changed here and differs from the server", path.display());
                failed += 1;
                continue;
            }
            Err(error) => {
                println!("failed     {code}: {error:#}");
                failed += 1;
                continue;
            }
        };
        println!("{told}  {code}");
        tags.insert(code.clone(), Tag { tag, hash: Some(hash) });
    }
    for (code, local) in folder.templates.iter().filter(|(code, _)| !saved.contains_key(*code)) {
        let path = local.path.display();
        if !wish.deletes {
            println!("not saved  {code}: it is in the folder only");
        } else if wish.forces || folder.is_as_noted(local) {
            std::fs::remove_file(&local.path).with_context(|| format!("cannot delete `{path}`"))?;
            println!("deleted    {code}");
        } else {
            println!("edited     {code}: `{path}` was changed here and is not on the server");
            failed += 1;
        }
    }
    folder.write_tags(&tags)?;
    if failed > 0 {
        bail!("{failed} templates could not be pulled; --force writes over what was edited here");
    }
    Ok(())
}

/// How to push.
pub(super) struct PushWish<'a> {
    pub(super) is_dry: bool,
    /// Whether what is not in the folder is deleted on the server.
    pub(super) deletes: bool,
    /// Whether edits that others made since the last pull are written over.
    pub(super) forces: bool,
    pub(super) comment: Option<&'a str>,
}

/// What is left to be written; tried again after something else was, because templates need each other.
enum Step<'a> {
    /// The tag that it has on the server; `None`: nothing is saved.
    Put(&'a Local, Option<String>),
    Delete(Box<str>, String),
}

impl Step<'_> {
    fn code(&self) -> &str {
        match self {
            Step::Put(local, _) => &local.source.code,
            Step::Delete(code, _) => code,
        }
    }

    /// What it does, for people.
    fn name(&self) -> &'static str {
        match self {
            Step::Put(_, None) => "created  ",
            Step::Put(_, Some(_)) => "updated  ",
            Step::Delete(..) => "deleted  ",
        }
    }
}

/// Makes the server have what the folder has.
pub(super) async fn push(remote: &Remote, dir: &Path, wish: &PushWish<'_>) -> anyhow::Result<()> {
    let folder = Folder::read(dir)?;
    let saved = remote.tags().await?;
    let mut tags = folder.tags.clone().unwrap_or_default();
    let mut failed = 0;
    let mut steps = Vec::new();
    for (code, local) in &folder.templates {
        let tag = match saved.contains_key(code) {
            true => {
                let (source, tag) = remote.template(code).await?;
                if source == local.source {
                    println!("unchanged  {code}");
                    tags.insert(code.clone(), Tag { tag, hash: Some(local.hash.clone()) });
                    continue;
                }
                Some(tag)
            }
            false => None,
        };
        if is_as_pulled(&folder, code, tag.as_deref()) || wish.forces {
            steps.push(Step::Put(local, tag));
        } else {
            println!("conflict   {code}: it was changed on the server since the last pull");
            failed += 1;
        }
    }
    for (code, tag) in saved.iter().filter(|(code, _)| !folder.templates.contains_key(*code)) {
        if !wish.deletes {
            println!("left       {code}: it is on the server only");
        } else if is_as_pulled(&folder, code, Some(tag)) || wish.forces {
            steps.push(Step::Delete(code.clone(), tag.clone()));
        } else {
            println!("conflict   {code}: it was changed on the server since the last pull");
            failed += 1;
        }
    }
    // What others include comes before them.
    steps.sort_by_key(|step| !matches!(step, Step::Put(local, _) if !local.source.kind.is_message()));
    if wish.is_dry {
        steps.iter().for_each(|step| println!("would be {}{}", step.name(), step.code()));
    } else {
        failed += carry_out(remote, steps, wish.comment, &mut tags).await?;
        folder.write_tags(&tags)?;
    }
    if failed > 0 {
        bail!("{failed} templates were not pushed");
    }
    Ok(())
}

/// Whether the server has the state that was pulled; where nobody pulled, whatever it has.
fn is_as_pulled(folder: &Folder, code: &str, tag: Option<&str>) -> bool {
    folder.tags.as_ref().is_none_or(|tags| tags.get(code).map(|noted| &*noted.tag) == tag)
}

/// Takes all steps that can be taken; how many could not.
async fn carry_out(
    remote: &Remote,
    mut steps: Vec<Step<'_>>,
    comment: Option<&str>,
    tags: &mut Tags,
) -> anyhow::Result<usize> {
    let mut conflicts = 0;
    loop {
        let before = steps.len();
        let mut refused = Vec::new();
        for step in steps {
            let written = match &step {
                Step::Put(local, tag) => remote.put(&local.source, tag.as_deref(), comment).await,
                Step::Delete(code, tag) => remote.delete(code, tag).await,
            };
            match written.with_context(|| format!("cannot push {}", step.code()))? {
                Written::Done(tag) => {
                    println!("{}  {}", step.name(), step.code());
                    match step {
                        Step::Put(local, _) => {
                            tags.insert(local.source.code.clone(), Tag { tag, hash: Some(local.hash.clone()) })
                        }
                        Step::Delete(code, _) => tags.remove(&code),
                    };
                }
                Written::Conflict => {
                    println!("conflict   {}: it was changed on the server at this moment", step.code());
                    conflicts += 1;
                }
                Written::Refused(reason) => refused.push((step, reason)),
            }
        }
        if refused.is_empty() || refused.len() == before {
            refused.iter().for_each(|(step, reason)| println!("failed     {}: {reason}", step.code()));
            return Ok(conflicts + refused.len());
        }
        steps = refused.into_iter().map(|(step, _)| step).collect();
    }
}

/// Prints what a push would change; with `delete`, what it would delete as well.
pub(super) async fn diff(remote: &Remote, dir: &Path, delete: bool) -> anyhow::Result<()> {
    let folder = Folder::read(dir)?;
    let saved = remote.tags().await?;
    let mut differ = 0;
    let gone = saved.keys().filter(|_| delete);
    let codes: std::collections::BTreeSet<&Box<str>> = folder.templates.keys().chain(gone).collect();
    for code in codes {
        let there = match saved.contains_key(code) {
            true => text::write(&remote.template(code).await?.0)?,
            false => String::new(),
        };
        let here = folder.templates.get(code).map(|local| text::write(&local.source)).transpose()?.unwrap_or_default();
        if here == there {
            continue;
        }
        differ += 1;
        let name = |side: &str, text: &str| match text {
            "" => "/dev/null".to_owned(),
            _ => format!("{side}/{code}.toml"),
        };
        let changes = TextDiff::from_lines(&there, &here);
        print!("{}", changes.unified_diff().header(&name("server", &there), &name("folder", &here)));
    }
    if differ > 0 {
        bail!("{differ} templates differ");
    }
    Ok(())
}
