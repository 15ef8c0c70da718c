//! What tests share.
/// The address of a real service for tests, from the environment variable `name`. Where there is none the test is skipped, and says so.
pub(crate) fn service(name: &str) -> Option<String> {
    let address = std::env::var(name).ok().filter(|address| !address.is_empty());
    if address.is_none() {
        let test = std::thread::current();
        eprintln!("test-skipped: {} needs {name}", test.name().unwrap_or("a test"));
    }
    address
}
