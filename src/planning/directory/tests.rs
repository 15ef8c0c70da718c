use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp(1_000_000);

fn key(number: u128) -> EntryKey {
    EntryKey(number)
}

fn user(text: &str) -> Known {
    Known::User(Some(Arc::new(User { email: Some(text.into()), ..User::default() })))
}

fn following(bytes_max: usize) -> Directory {
    let directory = Directory::new(bytes_max, Duration::from_secs(600));
    directory.set_following(true, Timestamp(0));
    directory
}

fn knows(directory: &Directory, number: u128, at: Timestamp) -> bool {
    directory.look_up(&[key(number)], at)[0].is_some()
}

#[test]
fn what_was_read_is_known_until_it_is_too_old() {
    let directory = following(1 << 20);
    directory.keep([(key(1), user("a")), (key(2), Known::Address(None))], NOW);
    assert!(knows(&directory, 1, NOW) && knows(&directory, 2, NOW));
    assert!(!knows(&directory, 3, NOW));
    assert!(knows(&directory, 1, NOW + Duration::from_secs(599)));
    assert!(!knows(&directory, 1, NOW + Duration::from_secs(600)));
}

#[test]
fn a_node_that_hears_of_no_changes_trusts_nothing_older_than_a_second() {
    let directory = Directory::new(1 << 20, Duration::from_secs(600));
    directory.keep([(key(1), user("a"))], NOW);
    assert!(knows(&directory, 1, NOW + Duration::from_millis(999)));
    assert!(!knows(&directory, 1, NOW + Duration::from_secs(1)));
    directory.set_following(true, NOW);
    assert!(!knows(&directory, 1, NOW), "what was changed while nobody listened is not known");
    directory.keep([(key(1), user("a"))], NOW);
    assert!(!knows(&directory, 1, NOW), "it may have been announced and not written yet");
    directory.keep([(key(1), user("a"))], NOW + WRITE_MAX);
    assert!(knows(&directory, 1, NOW + WRITE_MAX));
}

#[test]
fn an_announced_change_is_forgotten_and_not_kept_while_its_write_may_be_under_way() {
    let directory = following(1 << 20);
    directory.keep([(key(1), user("a")), (key(2), user("b"))], NOW);
    directory.forget(key(1), NOW);
    assert!(!knows(&directory, 1, NOW) && knows(&directory, 2, NOW));
    // Also what was asked for before the announcement, and comes after it.
    directory.keep([(key(1), user("a"))], NOW - Duration::from_secs(1));
    directory.keep([(key(1), user("a"))], NOW + WRITE_MAX - Duration::from_millis(1));
    assert!(!knows(&directory, 1, NOW));
    directory.keep([(key(1), user("a"))], NOW + WRITE_MAX);
    assert!(knows(&directory, 1, NOW + WRITE_MAX));
}

#[test]
fn changes_beyond_measure_make_the_whole_memory_distrusted() {
    let directory = following(1 << 20);
    directory.keep([(key(u128::MAX), user("a"))], NOW);
    for number in 0..=ANNOUNCED_MAX as u128 {
        directory.forget(key(number), NOW);
    }
    assert!(!knows(&directory, u128::MAX, NOW));
    directory.keep([(key(u128::MAX), user("a"))], NOW);
    assert!(!knows(&directory, u128::MAX, NOW));
    directory.keep([(key(u128::MAX), user("a"))], NOW + WRITE_MAX);
    assert!(knows(&directory, u128::MAX, NOW + WRITE_MAX));
}

#[test]
fn memory_is_bounded_and_what_is_asked_for_stays() {
    let bytes_max = 100 * user("a").bytes();
    let directory = following(bytes_max);
    directory.keep([(key(0), user("a"))], NOW);
    for number in 1..10_000 {
        directory.keep([(key(number), user("a"))], NOW);
        assert!(knows(&directory, 0, NOW), "after {number}");
        let state = directory.state();
        assert!(state.young.bytes + state.old.bytes <= bytes_max);
    }
    let held = (0..10_000).filter(|number| knows(&directory, *number, NOW)).count();
    assert!((40..=100).contains(&held), "{held}");
}

#[test]
fn another_tenant_user_or_kind_has_another_name() {
    let of =
        |tenant: &str, user_id: &str| EntryKey::of_user(&UserKey { tenant: tenant.into(), user_id: user_id.into() });
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
        let directory = following(places * user("1000000").bytes());
        let mut now = NOW;
        let mut changed: HashMap<u128, Timestamp> = HashMap::new();
        for step in steps {
            match step {
                Step::Wait(seconds) => now = now + Duration::from_secs(seconds),
                Step::Forget(number) => {
                    directory.forget(key(number), now);
                    changed.insert(number, now);
                }
                Step::Keep(number, late) => {
                    let asked_at = now - Duration::from_secs(late);
                    directory.keep([(key(number), user(&asked_at.millis().to_string()))], asked_at);
                }
            }
            for number in 0..4 {
                let Some(Known::User(Some(user))) = directory.look_up(&[key(number)], now).remove(0) else { continue };
                let asked_at = user.email.as_deref().and_then(|text| text.parse().ok()).map(Timestamp);
                let asked_at = asked_at.expect("the time that the test wrote");
                prop_assert!(now.since(asked_at) < Duration::from_secs(600));
                if let Some(changed) = changed.get(&number) {
                    prop_assert!(asked_at >= *changed + WRITE_MAX, "{asked_at} after {changed}");
                }
            }
        }
    }
}
