//! `fanfare templates`: templates as files, beside those that are saved on a server.

mod folder;
mod remote;
mod sync;
mod text;

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::client::Server;
use folder::Folder;
use remote::Remote;
use sync::{PullWish, PushWish};

#[derive(Debug, Subcommand)]
pub(super) enum Templates {
    /// Show the templates in force, one line each
    List(List),
    /// Write what is saved on the server into files
    Pull(Pull),
    /// Save the files of a folder on the server
    Push(Push),
    /// Show what a push would change
    Diff(Diff),
    /// Let the server judge the files of a folder; nothing is saved
    Validate(Validate),
    /// Show what a message would be
    Render(Render),
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    server: Server,
    /// As JSON, one object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Pull {
    #[command(flatten)]
    server: Server,
    /// The folder; each template is a file CODE.toml
    #[arg(long, value_name = "FOLDER")]
    dir: PathBuf,
    /// Delete the files of templates that are not saved on the server
    #[arg(long)]
    delete: bool,
    /// Write over what was edited in the folder since the last pull or push
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub(super) struct Push {
    #[command(flatten)]
    server: Server,
    /// The folder; each template is a file *.toml
    #[arg(long, value_name = "FOLDER")]
    dir: PathBuf,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Delete what is saved on the server and not in the folder
    #[arg(long)]
    delete: bool,
    /// Write over what others changed since the last pull
    #[arg(long)]
    force: bool,
    /// Why, for the history of each template
    #[arg(long)]
    comment: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Diff {
    #[command(flatten)]
    server: Server,
    /// The folder; each template is a file *.toml
    #[arg(long, value_name = "FOLDER")]
    dir: PathBuf,
    /// Show what `push --delete` would delete as well
    #[arg(long)]
    delete: bool,
}

#[derive(Debug, Args)]
pub(super) struct Validate {
    #[command(flatten)]
    server: Server,
    /// The folder; each template is a file *.toml
    #[arg(value_name = "FOLDER")]
    dir: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Render {
    #[command(flatten)]
    server: Server,
    /// The template
    code: String,
    /// The data as a file of JSON; without it the examples of the variables
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    #[arg(long)]
    locale: Option<String>,
    /// Of its experiment
    #[arg(long)]
    variant: Option<String>,
    /// As `Europe/Berlin`
    #[arg(long)]
    timezone: Option<String>,
    /// Another one than that in force
    #[arg(long)]
    version: Option<u32>,
}

impl Templates {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let remote = |server: &Server| server.connect().map(Remote::new);
        match self {
            Templates::List(list) => list.run().await,
            Templates::Pull(pull) => {
                let wish = PullWish { deletes: pull.delete, forces: pull.force };
                sync::pull(&remote(&pull.server)?, &pull.dir, &wish).await
            }
            Templates::Push(push) => {
                let wish = PushWish {
                    is_dry: push.dry_run,
                    deletes: push.delete,
                    forces: push.force,
                    comment: push.comment.as_deref(),
                };
                sync::push(&remote(&push.server)?, &push.dir, &wish).await
            }
            Templates::Diff(diff) => sync::diff(&remote(&diff.server)?, &diff.dir, diff.delete).await,
            Templates::Validate(validate) => validate.run().await,
            Templates::Render(render) => render.run().await,
        }
    }
}

impl List {
    async fn run(self) -> anyhow::Result<()> {
        for one in Remote::new(self.server.connect()?).list("").await? {
            if self.json {
                println!("{one}");
                continue;
            }
            let word = |name: &str| one[name].as_str().unwrap_or("-").to_owned();
            let state = match (one["problem"].as_str(), one["active"].as_bool()) {
                (Some(problem), _) => format!("unusable: {problem}"),
                (None, Some(false)) => "inactive".to_owned(),
                _ => "active".to_owned(),
            };
            println!("{}  {} {}  {}  {state}", word("code"), word("origin"), one["version"], word("category"));
        }
        Ok(())
    }
}

impl Validate {
    async fn run(self) -> anyhow::Result<()> {
        let remote = Remote::new(self.server.connect()?);
        let mut wrong = 0;
        for (code, local) in Folder::read(&self.dir)?.templates {
            let judged = remote.post("/v1/templates/validate", &json!({"template": local.source})).await?;
            let problems = |name: &str| judged[name].as_array().cloned().unwrap_or_default();
            let (errors, warnings) = (problems("errors"), problems("warnings"));
            if errors.is_empty() {
                println!("valid    {code}");
            }
            errors.iter().for_each(|error| println!("invalid  {code}: {}", sentence(error)));
            warnings.iter().for_each(|warning| println!("warning  {code}: {}", sentence(warning)));
            wrong += usize::from(!errors.is_empty());
        }
        if wrong > 0 {
            bail!("{wrong} templates are not valid");
        }
        Ok(())
    }
}

/// A problem on one line.
fn sentence(problem: &Value) -> String {
    let mut place = problem["pointer"].as_str().unwrap_or_default().trim_start_matches("/template").to_owned();
    if let (Some(line), Some(column)) = (problem["line"].as_u64(), problem["column"].as_u64()) {
        place += &format!(" line {line}, column {column}");
    }
    format!("{}: {}", place.trim_start(), problem["detail"].as_str().unwrap_or_default())
}

impl Render {
    async fn run(self) -> anyhow::Result<()> {
        let mut wish = Map::new();
        if let Some(path) = &self.data {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
            let data = serde_json::from_str(&text).with_context(|| format!("`{}` is no JSON", path.display()))?;
            wish.insert("data".to_owned(), data);
        }
        for (name, text) in [("locale", &self.locale), ("variant", &self.variant), ("timezone", &self.timezone)] {
            wish.extend(text.as_ref().map(|text| (name.to_owned(), json!(text))));
        }
        wish.extend(self.version.map(|version| ("version".to_owned(), json!(version))));
        if !crate::templates::is_code(&self.code) {
            bail!("`{}` is no code of a template", self.code);
        }
        let path = format!("/v1/templates/{}/render", self.code);
        let shown = Remote::new(self.server.connect()?).post(&path, &wish.into()).await?;
        println!("{}", serde_json::to_string_pretty(&shown).context("it was JSON before")?);
        Ok(())
    }
}
