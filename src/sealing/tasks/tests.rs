//! Plans and groups on a real store, sealed.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::clock::ManualClock;
use crate::codec::tests::any_plan;
use crate::disk::testing;
use crate::domain::{
    Address, AttachmentReference, Channel, ClaimKey, Content, Delivery, Disposition, EventKind, Gathered, Group,
    Joined, Owner, Plan, Position, SkipReason, Source, Story, TaskSpec, Told, UserKey,
};
use crate::sealing::testing::FakeSecrets;
use crate::sealing::testing::address_key;
use crate::sealing::{Keyring, SealedStore};
use crate::store::conformance::{NOON, StoreBackend, event, plan, shard, store_conformance};
use crate::store::{
    BookColumn, EmbeddedStore, GroupEntry, GroupRow, SecretsOf, SharedStore, StoreError, UserSecret, UserSecrets,
    WriteBatch,
};
use crate::users::{ChangeKey, Changes, LocalChanges};

struct Sealed {
    dir: tempfile::TempDir,
    secrets: Arc<FakeSecrets>,
    changes: Arc<LocalChanges>,
}

impl Sealed {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Self { dir, secrets: Arc::default(), changes: Arc::default() }
    }

    fn bare(&self) -> SharedStore {
        EmbeddedStore::open(testing::disk(self.dir.path())).expect("the store opens")
    }

    fn over(&self, secrets: Arc<dyn UserSecrets>) -> SharedStore {
        let keyring = Keyring::new(secrets, ManualClock::starting_at(NOON), self.changes.clone());
        SealedStore::over(self.bare(), keyring)
    }

    async fn erase(&self, user: &UserKey) {
        self.changes.announce(&[ChangeKey::of_user(user)]).await.expect("told");
        assert!(self.secrets.destroy_user_secrets(user).await.expect("destroyed") > 0);
    }
}

#[async_trait]
impl StoreBackend for Sealed {
    async fn open(&self) -> SharedStore {
        self.over(self.secrets.clone())
    }
}

store_conformance!(Sealed::new());

fn at(offset: u64) -> Position {
    Position::new(shard(0), offset)
}

/// Every text of it that is personal begins with `planted`.
fn planted() -> Plan {
    let task = |channel, address| TaskSpec { channel, address, due: None, endpoint: 0 };
    let group =
        Group { key: ClaimKey(9), actor: Some("planted actor".into()), until: NOON, is_first: false, gathered: None };
    let file = AttachmentReference { url: "planted url".into(), name: "planted file".into(), media_type: None };
    let mut plan = Plan {
        content: Content::Inline {
            title: "planted title".into(),
            body: "planted body".into(),
            html: Some("planted html".into()),
            sms: Some("planted text".into()),
        },
        data: r#"{"a":"planted data"}"#.into(),
        metadata: r#"{"b":"planted metadata"}"#.into(),
        disposition: Disposition::Tasks(vec![
            task(Channel::Email, Address::Email("planted@example.org".into())),
            task(Channel::Push, Address::PushToken("planted token".into())),
            task(Channel::Webhook, Address::Url("https://planted.example.org".into())),
            task(Channel::InApp, Address::User("alice".into())),
        ]),
        group: Some(group),
        delivery: Delivery { attachments: vec![file], collapse_key: Some("planted key".into()) },
        ..plan(at(1))
    };
    plan.presentation.zone = Some("planted/zone".into());
    plan
}

fn batch(plan: &Plan) -> WriteBatch {
    let owner = plan.owner();
    let row = |entry| GroupRow { leader: plan.position, until: NOON, owner: owner.clone(), entry };
    let joined =
        Joined { offset: 2, actor: Some("planted friend".into()), data: Some(r#"{"c":"planted item"}"#.into()) };
    let gathered = Gathered::of([&joined], 10);
    let mut batch = WriteBatch {
        plans: vec![Arc::new(plan.clone())],
        groups: vec![
            row(GroupEntry::Joined(vec![joined])),
            row(GroupEntry::Left(3)),
            row(GroupEntry::Closed(gathered, Told::EVERYBODY)),
        ],
        events: vec![event(plan.position, 0, 1, EventKind::Sent)],
        ..WriteBatch::default()
    };
    batch.books.add(Source::Http, BookColumn::In, 4);
    batch
}

fn has(dir: &Path, text: &str) -> bool {
    std::fs::read_dir(dir).expect("a directory").any(|entry| {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            return has(&path, text);
        }
        let bytes = std::fs::read(&path).expect("a file");
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

async fn story(store: &SharedStore, offset: u64) -> Story {
    store.stories(&[at(offset)]).await.expect("read").pop().flatten().expect("it is there")
}

#[tokio::test]
async fn what_is_personal_stands_in_no_file_and_is_read_as_it_was() {
    for user_id in [Some("alice"), None] {
        let (world, clear) = (Sealed::new(), Sealed::new());
        let plan = Plan { user_id: user_id.map(Into::into), ..planted() };
        let store = world.open().await;
        store.write(shard(0), batch(&plan)).await.expect("written");
        assert_eq!(story(&store, 1).await.plan, plan);
        let bare = store.plans_at(&[at(1)]).await.expect("read").pop().flatten().expect("it is there");
        assert_eq!((&bare.tenant, &bare.user_id, bare.accepted_at), (&plan.tenant, &plan.user_id, plan.accepted_at));
        assert_eq!(store.block(shard(0), 0).await.expect("read")[0].plan, plan);
        let groups: Vec<GroupEntry> = batch(&plan).groups.into_iter().map(|row| row.entry).collect();
        assert_eq!(store.groups(&[at(9), at(1)]).await.expect("read"), [Vec::new(), groups]);
        drop(store);
        assert!(!has(world.dir.path(), "planted"));
        let store = clear.bare();
        store.write(shard(0), batch(&plan)).await.expect("written");
        drop(store);
        assert!(has(clear.dir.path(), "planted"), "the search would find it");
    }
}

#[tokio::test]
async fn any_plans_are_read_as_they_were_and_those_that_were_skipped_as_erased_without_contents() {
    let world = Sealed::new();
    let store = world.open().await;
    let mut runner = TestRunner::deterministic();
    let mut any = |offset| Plan { position: at(offset), ..any_plan().new_tree(&mut runner).expect("a plan").current() };
    let plans: Vec<Arc<Plan>> = (0..300).map(|offset| Arc::new(any(offset))).collect();
    let before: Vec<Plan> = plans.iter().map(|plan| Plan::clone(plan)).collect();
    store.write(shard(0), WriteBatch { plans: plans.clone(), ..WriteBatch::default() }).await.expect("written");
    assert!(plans.iter().zip(&before).all(|(plan, before)| **plan == *before), "others have them, too");
    let found = store.block(shard(0), 0).await.expect("read");
    assert_eq!(found.len(), before.len());
    for (story, mut expected) in found.into_iter().zip(before) {
        if expected.disposition == Disposition::Skipped(SkipReason::Erased) {
            expected.erase();
        }
        assert_eq!(story.plan, expected);
    }
}

#[tokio::test]
async fn whose_secret_is_destroyed_keeps_states_and_counts_and_nothing_personal() {
    for user_id in [Some("alice"), None] {
        let world = Sealed::new();
        let store = world.open().await;
        let plan = Plan { user_id: user_id.map(Into::into), ..planted() };
        store.write(shard(0), batch(&plan)).await.expect("written");
        let another = Plan { user_id: Some("bob".into()), position: at(5), ..planted() };
        store.write(shard(0), batch(&another)).await.expect("written");
        let (before, books) = (story(&store, 1).await, store.books(shard(0)).await.expect("read"));
        world.erase(&address_key().of_owner(plan.owner().expect("somebody's"))).await;
        let after = story(&store, 1).await;
        let mut expected = plan.clone();
        expected.erase();
        assert_eq!(after.plan, expected);
        assert!(after.plan.is_erased() && !format!("{after:?}").contains("planted"));
        assert_eq!((after.states(), &after.events), (before.states(), &before.events));
        assert_eq!(store.books(shard(0)).await.expect("read"), books);
        let groups: Vec<GroupEntry> = batch(&plan).groups.iter().map(|row| row.entry.bare()).collect();
        assert_eq!(store.groups(&[at(1)]).await.expect("read"), [groups]);
        assert_eq!(story(&store, 5).await.plan, another);
        drop(store);
        assert_eq!(story(&world.open().await, 1).await.plan, expected, "also after opening again");
    }
}

#[tokio::test]
async fn a_notification_that_came_to_no_task_is_its_addresss() {
    let world = Sealed::new();
    let store = world.open().await;
    let Some(owner) = Plan { user_id: None, ..planted() }.owner() else { panic!("somebody's") };
    let plan = Plan {
        user_id: None,
        disposition: Disposition::Skipped(SkipReason::Suppressed),
        personal: crate::domain::Personal::Here { of: Some(Box::new(owner.clone())) },
        ..planted()
    };
    store.write(shard(0), batch(&plan)).await.expect("written");
    let read = story(&store, 1).await.plan;
    assert_eq!(read, plan);
    let key = address_key().of_owner(owner);
    assert_eq!(read.owner(), Some(Owner::User(key.clone())), "what joins it is sealed under the same");
    world.erase(&key).await;
    assert!(story(&store, 1).await.plan.is_erased());
}

#[tokio::test]
async fn what_was_written_before_is_read_and_what_has_nothing_personal_needs_no_secret() {
    let world = Sealed::new();
    let store = world.bare();
    store.write(shard(0), batch(&planted())).await.expect("written");
    drop(store);
    let store = world.open().await;
    assert_eq!(story(&store, 1).await.plan, planted());
    let events = vec![event(at(1), 1, 1, EventKind::Sent)];
    store.write(shard(0), WriteBatch { events, ..WriteBatch::default() }).await.expect("written");
    let skipped = Plan { disposition: Disposition::Skipped(SkipReason::Erased), position: at(2), ..planted() };
    store
        .write(shard(0), WriteBatch { plans: vec![Arc::new(skipped)], ..WriteBatch::default() })
        .await
        .expect("written");
    assert!(story(&store, 2).await.plan.is_erased());
    assert_eq!(world.secrets.held().reads, 0);
    assert!(world.secrets.held().secrets.is_empty());
}

struct Away;

#[async_trait]
impl UserSecrets for Away {
    async fn user_secrets(&self, _: &[UserKey]) -> Result<Vec<SecretsOf>, StoreError> {
        Err(StoreError::Failed("it is away".to_owned()))
    }

    async fn create_user_secrets(&self, _: &[UserKey]) -> Result<Vec<UserSecret>, StoreError> {
        Err(StoreError::Failed("it is away".to_owned()))
    }

    async fn destroy_user_secrets(&self, _: &UserKey) -> Result<usize, StoreError> {
        Err(StoreError::Failed("it is away".to_owned()))
    }

    async fn address_key(&self) -> Result<[u8; UserSecret::BYTES], StoreError> {
        Err(StoreError::Failed("it is away".to_owned()))
    }
}

#[tokio::test]
async fn secrets_that_cannot_be_read_are_an_error_and_never_an_erasure() {
    let world = Sealed::new();
    let store = world.open().await;
    store.write(shard(0), batch(&planted())).await.expect("written");
    drop(store);
    let store = world.over(Arc::new(Away));
    assert!(store.stories(&[at(1)]).await.is_err());
    assert!(store.block(shard(0), 0).await.is_err());
    assert!(store.groups(&[at(1)]).await.is_err());
    assert!(store.write(shard(0), batch(&planted())).await.is_err());
}
