//! Files in a folder.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;

use super::{ArchivePlace, PlaceError};

/// A folder, which is made when the first file comes.
pub struct FolderPlace {
    dir: PathBuf,
}

impl FolderPlace {
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Beside the runtime: disks may be slow, and folders mounted from afar.
    async fn beside<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&Path, &Path) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, String> {
        let (dir, path) = (self.dir.clone(), self.dir.join(name));
        let done = tokio::task::spawn_blocking(move || work(&dir, &path)).await.map_err(|error| error.to_string())?;
        done.map_err(|error| error.to_string())
    }
}

#[async_trait]
impl ArchivePlace for FolderPlace {
    async fn put(&self, name: &str, body: Bytes) -> Result<(), PlaceError> {
        let written = self.beside(name, move |dir, path| write(dir, path, &body)).await;
        written.map_err(|reason| PlaceError::Write { name: name.to_owned(), reason })
    }

    async fn get(&self, name: &str, bytes_max: usize) -> Result<Bytes, PlaceError> {
        let read = self.beside(name, move |_, path| {
            let mut bytes = Vec::new();
            File::open(path)?.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        });
        let failed = |reason: String| PlaceError::Read { name: name.to_owned(), reason };
        let bytes = read.await.map_err(failed)?;
        if bytes.len() > bytes_max {
            return Err(failed(format!("it is longer than {bytes_max} bytes")));
        }
        Ok(bytes.into())
    }
}

/// Under another name first: nobody ever sees half a file under its own. Each folder on the way is made durable as well.
fn write(dir: &Path, path: &Path, body: &[u8]) -> std::io::Result<()> {
    let parent = path.parent().unwrap_or(dir);
    fs::create_dir_all(parent)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let mut file = File::create(&part)?;
    file.write_all(body)?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    for folder in parent.ancestors().take_while(|folder| folder.starts_with(dir)) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}
