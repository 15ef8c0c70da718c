//! One message to many people: each gets one, whatever happens meanwhile, and what is counted is what became of them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fanfare::campaigns::{Begun, Known, ListMember, list_part, list_spread};
use fanfare::config;
use fanfare::domain::{
    Audience, BrakeEffect, BrakeKind, BrakeScope, Campaign, CampaignCommand, CampaignId, CampaignKind, CampaignStatus,
    Canary, Channel, NotificationRequest, Outcome, Recipient, Source,
};
use fanfare::store::KeyedRow;

use crate::world::{Place, Script, TestProvider, World, mail, on_both_in_turn};

on_both_in_turn! {
    everybody_gets_one_message_and_what_is_counted_is_what_became_of_them
    a_node_that_is_started_again_in_the_middle_tells_nobody_twice_and_misses_nobody
    what_is_paused_stands_still_and_what_is_cancelled_is_not_sent
    an_audience_beyond_the_ceiling_gets_nothing_and_one_of_nobody_is_over_at_once
}

/// A moment of a test.
const TICK: Duration = Duration::from_millis(100);

/// An id that no other campaign of this process has, and a list that no other has.
fn fresh() -> (CampaignId, String) {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    (CampaignId(0x1234_5678_9abc_def0_1234_5678_9abc_def0 ^ u128::from(number)), format!("lst_{number}"))
}

struct Sent {
    world: World,
    campaign: Campaign,
}

impl Sent {
    /// A campaign for so many, which is not begun.
    async fn prepare(world: World, members: usize) -> Self {
        let (id, list) = fresh();
        let rows = (0..members).map(|number| {
            let email = format!("member-{number}-of-{list}@example.com");
            let member = ListMember {
                to: Recipient { email: Some(email.into()), ..Recipient::default() },
                data: Some(format!(r#"{{"order_id":"{number}"}}"#).into()),
                ..ListMember::default()
            };
            let name = member.name().expect("it has an address").to_owned();
            let body = Some(Bytes::from(member.encode("default")));
            KeyedRow { part: list_part(&list, list_spread(&name)), name: name.as_bytes().into(), body }
        });
        world.store.put_keyed(rows.collect()).await.expect("the store writes");
        let now = world.now();
        let message = NotificationRequest {
            to: Recipient::default(),
            source: Source::Campaign,
            dedup_window_seconds: Some(0),
            accepted_at: now,
            ..mail()
        };
        let campaign = Campaign {
            id,
            tenant: message.tenant.clone(),
            kind: CampaignKind::Asked,
            name: None,
            made_at: now,
            starts_at: now,
            message,
            audience: Audience::List { list: list.as_str().into() },
            is_counted: true,
            ceiling: None,
            rate_per_second: None,
            canary: None,
            made_by: None,
            body_hash: 0,
        };
        Self { world, campaign }
    }

    async fn begin(&self) {
        let begun = self.world.campaigns.begin(&self.campaign).await.expect("the store writes");
        assert_eq!(begun, Begun::New);
    }

    async fn known(&self) -> Known {
        let known = self.world.campaigns.get(&self.campaign.tenant, self.campaign.id).await.expect("the store reads");
        known.expect("it was begun")
    }

    /// Lets time pass until it is so.
    async fn until(&self, wanted: impl Fn(&Known) -> bool) -> Known {
        self.world
            .until(async || {
                self.world.advance(TICK).await;
                let known = self.known().await;
                let progress = &known.progress;
                let total = progress.total.unwrap_or(u64::MAX);
                let is_within = progress.processed() <= progress.handed_on || progress.status.is_over();
                assert!(is_within && progress.handed_on <= total, "{progress:?}");
                wanted(&known).then_some(known)
            })
            .await
    }

    async fn until_over(&self) -> Known {
        self.until(|known| known.progress.status.is_over()).await
    }
}

fn provider() -> std::sync::Arc<TestProvider> {
    TestProvider::new("one", &[Channel::Email])
}

fn addresses(provider: &TestProvider) -> Vec<String> {
    provider.taken().iter().map(|message| format!("{:?}", message.address)).collect()
}

async fn everybody_gets_one_message_and_what_is_counted_is_what_became_of_them(place: Place) {
    let provider = provider();
    let refused = Outcome::dead("no such mailbox");
    provider.script((0..25).map(|_| Script::Answer(refused.clone())));
    let world = World::start(place, vec![provider.clone()]).await;
    let sent = Sent::prepare(world, 2_500).await;
    sent.begin().await;
    let known = sent.until_over().await;
    let progress = &known.progress;
    assert_eq!(progress.status, CampaignStatus::Completed, "{progress:?}");
    assert_eq!((progress.total, progress.handed_on, progress.rows_read), (Some(2_500), 2_500, 2_500));
    assert_eq!((progress.succeeded, progress.failed, progress.skipped()), (2_475, 25, 0));
    let addresses = addresses(&provider);
    assert_eq!((addresses.len(), addresses.iter().collect::<BTreeSet<_>>().len()), (2_500, 2_500));
    let mut missed = Vec::new();
    let mut after = None;
    while let Some((chunk, some)) = sent.world.campaigns.missed(&known, after).await.expect("the store reads") {
        missed.extend(some);
        after = Some(chunk);
    }
    assert_eq!(missed.len(), 25);
    assert!(missed.iter().all(|one| &*one.status == "failed" && one.reason.contains("no such mailbox")), "{missed:?}");
    sent.world.stop().await;
}

async fn a_node_that_is_started_again_in_the_middle_tells_nobody_twice_and_misses_nobody(place: Place) {
    let provider = provider();
    let world = World::start(place, vec![provider.clone()]).await;
    let mut sent = Sent::prepare(world, 5_000).await;
    sent.begin().await;
    for share in [1_000, 2_500] {
        sent.until(|known| known.progress.handed_on >= share).await;
        sent.world = sent.world.restart().await;
    }
    let progress = sent.until_over().await.progress;
    assert_eq!((progress.succeeded, progress.handed_on), (5_000, 5_000), "{progress:?}");
    let addresses = addresses(&provider);
    assert_eq!((addresses.len(), addresses.iter().collect::<BTreeSet<_>>().len()), (5_000, 5_000));
    sent.world.stop().await;
}

async fn what_is_paused_stands_still_and_what_is_cancelled_is_not_sent(place: Place) {
    let provider = provider();
    let world = World::start(place, vec![provider.clone()]).await;
    let mut sent = Sent::prepare(world, 6_000).await;
    sent.campaign.rate_per_second = Some(1_000);
    sent.begin().await;
    sent.until(|known| known.progress.handed_on >= 1_000).await;
    let brake = async |effect, is_on| {
        let tenant = sent.campaign.tenant.clone();
        let scope = BrakeScope { tenant, kind: BrakeKind::Campaign, name: sent.campaign.id.to_string().into() };
        let now = sent.world.now();
        sent.world.brakes.change(scope, effect, is_on, now, None).await.expect("the store writes");
    };
    brake(BrakeEffect::Pause, true).await;
    sent.world.campaigns.command(sent.campaign.id, CampaignCommand::Pause).await.expect("the store writes");
    // What it had in hand when it was told ends first.
    let paused = sent.until(|known| known.progress.paused_at.is_some()).await;
    let before = paused.progress.handed_on;
    for _ in 0..50 {
        sent.world.advance(TICK).await;
    }
    assert_eq!(sent.known().await.progress.handed_on, before, "five seconds at its rate");
    assert!(before < 6_000, "it stands still before the end");
    brake(BrakeEffect::Recall, true).await;
    brake(BrakeEffect::Pause, false).await;
    sent.world.campaigns.command(sent.campaign.id, CampaignCommand::Cancel).await.expect("the store writes");
    let progress = sent.until_over().await.progress;
    assert_eq!(progress.status, CampaignStatus::Cancelled);
    assert_eq!((progress.handed_on, progress.processed()), (before, 6_000), "{progress:?}");
    assert_eq!(provider.taken().len() as u64, progress.succeeded);
    // Nothing is left that stops anything.
    assert!(sent.world.brakes.set().is_empty());
    sent.world.stop().await;
}

async fn an_audience_beyond_the_ceiling_gets_nothing_and_one_of_nobody_is_over_at_once(place: Place) {
    let provider = provider();
    let world = World::start(place, vec![provider.clone()]).await;
    let mut sent = Sent::prepare(world, 30).await;
    sent.campaign.ceiling = Some(29);
    sent.begin().await;
    let progress = sent.until_over().await.progress;
    assert_eq!((progress.status, progress.total), (CampaignStatus::Stopped, Some(30)));
    assert!(progress.reason.is_some_and(|reason| reason.contains("ceiling 29")));
    let (id, list) = fresh();
    let of_nobody = Campaign { id, audience: Audience::List { list: list.into() }, ..sent.campaign.clone() };
    sent.world.campaigns.begin(&of_nobody).await.expect("the store writes");
    let world = &sent.world;
    let over = world.until(async || {
        world.advance(TICK).await;
        let known = world.campaigns.get(&of_nobody.tenant, id).await.expect("the store reads")?;
        known.progress.status.is_over().then_some(known.progress)
    });
    let over = over.await;
    assert_eq!((over.status, over.total, over.processed()), (CampaignStatus::Completed, Some(0), 0));
    assert_eq!(provider.taken().len(), 0);
    sent.world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_goes_no_faster_than_its_own_rate_and_tells_a_few_first_where_it_is_told_to() {
    let provider = provider();
    let mut config = config::defaults();
    config.log.partitions = 1;
    let world = World::start_with(Place::embedded(), config, vec![provider.clone()]).await;
    let mut sent = Sent::prepare(world, 1_200).await;
    sent.campaign.rate_per_second = Some(400);
    let canary = Canary { share: 0.1, wait_seconds: 5, bounces_max: 0.02, complaints_max: 0.01 };
    sent.campaign.canary = Some(canary);
    let began = sent.world.now();
    sent.begin().await;
    let tried = sent.until(|known| known.progress.succeeded >= 120).await;
    assert_eq!((tried.progress.status, tried.progress.handed_on), (CampaignStatus::Canary, 120));
    let progress = sent.until_over().await.progress;
    assert_eq!((progress.status, progress.succeeded), (CampaignStatus::Completed, 1_200));
    let took = sent.world.now().since(began);
    assert!(took >= Duration::from_millis(5_000 + 1_080 * 1_000 / 400 - 1_000), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_whose_first_messages_are_refused_stops_and_says_why() {
    let provider = provider();
    provider.script((0..60).map(|_| Script::Answer(Outcome::dead("no such mailbox"))));
    let world = World::start(Place::embedded(), vec![provider.clone()]).await;
    let mut sent = Sent::prepare(world, 2_000).await;
    sent.campaign.canary = Some(Canary { share: 0.1, wait_seconds: 60, bounces_max: 0.05, complaints_max: 0.01 });
    sent.begin().await;
    let progress = sent.until_over().await.progress;
    assert_eq!((progress.status, progress.handed_on), (CampaignStatus::Stopped, 200), "{progress:?}");
    assert!(progress.reason.as_deref().is_some_and(|reason| reason.contains("failed: more than")), "{progress:?}");
    // What was under way then is taken back, as far as it was not sent.
    assert!((20..=60).contains(&progress.failed), "{progress:?}");
    assert_eq!(progress.processed(), 2_000);
    assert_eq!(provider.taken().len() as u64, progress.succeeded + progress.failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_told_first_who_wait_for_their_time_are_waited_for() {
    let provider = provider();
    let world = World::start(Place::embedded(), vec![provider.clone()]).await;
    let mut sent = Sent::prepare(world, 100).await;
    sent.campaign.message.deliver_at = Some(sent.world.now() + Duration::from_secs(60));
    sent.campaign.canary = Some(Canary { share: 0.1, wait_seconds: 1, bounces_max: 0.05, complaints_max: 0.01 });
    sent.begin().await;
    sent.until(|known| known.progress.handed_on == 10).await;
    for _ in 0..100 {
        sent.world.advance(TICK).await;
    }
    assert_eq!(sent.known().await.progress.handed_on, 10, "ten seconds later none of them was sent");
    let progress = sent.until_over().await.progress;
    assert_eq!((progress.status, progress.succeeded), (CampaignStatus::Completed, 100));
}
