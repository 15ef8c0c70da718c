use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use proptest::prelude::*;

use super::*;
use crate::clock::ManualClock;
use crate::domain::{Timestamp, UserKey};
use crate::log::LogError;

fn key(number: u128) -> ChangeKey {
    ChangeKey(number)
}

fn user(text: &str) -> Known {
    Known::User(Some(Arc::new(User { email: Some(text.into()), ..User::default() })))
}

/// Whether changes are heard of is for the test to say.
#[derive(Default)]
struct Wire(AtomicBool);

#[async_trait]
impl Changes for Wire {
    async fn announce(&self, _: &[ChangeKey]) -> Result<(), LogError> {
        Ok(())
    }

    fn listen(&self, _: std::sync::Weak<dyn Listener>) {}

    fn is_current(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

struct World {
    clock: Arc<ManualClock>,
    wire: Arc<Wire>,
    copies: Arc<Copies>,
}

impl World {
    /// One that hears of every change.
    fn new(bytes_max: usize) -> Self {
        let clock = ManualClock::starting_at(Timestamp(0));
        clock.advance(Duration::from_secs(1000));
        let wire = Arc::new(Wire(AtomicBool::new(true)));
        let copies = Copies::new(bytes_max, Duration::from_secs(600), clock.clone(), wire.clone());
        Self { clock, wire, copies }
    }

    fn keep(&self, number: u128, known: Known) {
        self.copies.keep([(key(number), known)], self.copies.moment());
    }

    fn knows(&self, number: u128) -> bool {
        self.copies.look_up(&[key(number)])[0].is_some()
    }

    fn wait(&self, millis: u64) {
        self.clock.advance(Duration::from_millis(millis));
    }
}

const DISTRUST_MS: u64 = DISTRUST.as_millis() as u64;

#[test]
fn what_was_read_is_known_until_it_is_too_old() {
    let world = World::new(1 << 20);
    world.keep(1, user("a"));
    world.keep(2, Known::Address(None));
    assert!(world.knows(1) && world.knows(2) && !world.knows(3));
    world.wait(599_999);
    assert!(world.knows(1));
    world.wait(1);
    assert!(!world.knows(1));
}

#[test]
fn a_wall_clock_that_is_set_back_makes_no_copy_younger() {
    let world = World::new(1 << 20);
    world.keep(1, user("a"));
    world.clock.set_back(Duration::from_secs(500));
    world.wait(600_000);
    assert!(!world.knows(1));
}

#[test]
fn a_node_that_may_not_hear_of_all_changes_trusts_nothing_older_than_a_second_and_keeps_nothing() {
    let world = World::new(1 << 20);
    world.keep(1, user("a"));
    world.wire.0.store(false, Ordering::Relaxed);
    world.wait(999);
    assert!(world.knows(1));
    world.keep(2, user("b"));
    assert!(!world.knows(2));
    world.wait(1);
    assert!(!world.knows(1));
}

#[test]
fn who_missed_changes_knows_nothing_and_keeps_nothing_while_their_writes_may_be_under_way() {
    let world = World::new(1 << 20);
    world.keep(1, user("a"));
    let asked_at = world.copies.moment();
    world.copies.missed();
    assert!(!world.knows(1));
    world.wait(DISTRUST_MS - 1);
    world.keep(1, user("a"));
    world.wait(1);
    world.copies.keep([(key(1), user("a"))], asked_at);
    assert!(!world.knows(1));
    world.keep(1, user("a"));
    assert!(world.knows(1));
}

#[test]
fn an_announced_change_is_forgotten_and_not_kept_while_its_write_may_be_under_way() {
    let world = World::new(1 << 20);
    world.keep(1, user("a"));
    world.keep(2, user("b"));
    let before = world.copies.moment();
    world.wait(5);
    world.copies.changed(&[key(1)]);
    assert!(!world.knows(1) && world.knows(2));
    world.copies.keep([(key(1), user("a"))], before);
    world.wait(DISTRUST_MS - 1);
    world.keep(1, user("a"));
    assert!(!world.knows(1));
    world.wait(1);
    world.keep(1, user("a"));
    assert!(world.knows(1));
}

#[test]
fn changes_beyond_measure_make_the_whole_memory_distrusted() {
    let world = World::new(1 << 20);
    world.keep(u128::MAX, user("a"));
    let keys: Vec<ChangeKey> = (0..=ANNOUNCED_MAX as u128).map(key).collect();
    world.copies.changed(&keys);
    assert!(!world.knows(u128::MAX));
    world.keep(u128::MAX, user("a"));
    assert!(!world.knows(u128::MAX));
    world.wait(DISTRUST_MS);
    world.keep(u128::MAX, user("a"));
    assert!(world.knows(u128::MAX));
}

#[test]
fn memory_is_bounded_and_what_is_asked_for_stays() {
    let bytes_max = 100 * user("a").bytes();
    let world = World::new(bytes_max);
    world.keep(0, user("a"));
    for number in 1..10_000 {
        world.keep(number, user("a"));
        assert!(world.knows(0), "after {number}");
        let state = world.copies.state();
        assert!(state.young.bytes + state.old.bytes <= bytes_max);
    }
    let held = (0..10_000).filter(|number| world.knows(*number)).count();
    assert!((40..=100).contains(&held), "{held}");
}

#[test]
fn another_tenant_user_or_kind_has_another_name() {
    let of =
        |tenant: &str, user_id: &str| ChangeKey::of_user(&UserKey { tenant: tenant.into(), user_id: user_id.into() });
    assert_eq!(of("a", "bc"), of("a", "bc"));
    assert_ne!(of("a", "bc"), of("ab", "c"));
    assert_ne!(of("a", "bc"), of("a", "bd"));
}

/// What may happen to one of a few entries; times in seconds.
#[derive(Debug, Clone)]
enum Step {
    /// It is read, and kept so much later.
    Keep(u128, u64),
    Forget(u128),
    Wait(u64),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0u128..4, 0u64..3).prop_map(|(key, late)| Step::Keep(key, late)),
        (0u128..4).prop_map(Step::Forget),
        (0u64..15).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn nothing_is_known_that_was_read_before_a_change_was_certainly_written(
        steps in prop::collection::vec(any_step(), 0..60),
        places in 1usize..8,
    ) {
        let world = World::new(places * user("1000000").bytes());
        let mut changed: HashMap<u128, Moment> = HashMap::new();
        for step in steps {
            match step {
                Step::Wait(seconds) => world.wait(1000 * seconds),
                Step::Forget(number) => {
                    world.copies.changed(&[key(number)]);
                    changed.insert(number, world.copies.moment());
                }
                Step::Keep(number, late) => {
                    let asked_at = Moment(world.copies.moment().0 - Duration::from_secs(late));
                    let text = asked_at.0.as_secs().to_string();
                    world.copies.keep([(key(number), user(&text))], asked_at);
                }
            }
            for number in 0..4 {
                let Some(Known::User(Some(user))) = world.copies.look_up(&[key(number)]).remove(0) else { continue };
                let asked_at = user.email.as_deref().and_then(|text| text.parse().ok()).map(Duration::from_secs);
                let asked_at = Moment(asked_at.expect("the time that the test wrote"));
                prop_assert!(world.copies.moment().since(asked_at) < Duration::from_secs(600));
                if let Some(changed) = changed.get(&number) {
                    prop_assert!(asked_at >= *changed + DISTRUST, "{asked_at:?} after {changed:?}");
                }
            }
        }
    }
}
