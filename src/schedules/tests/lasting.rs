//! What is remembered of runs, and for how long.

use super::*;

#[tokio::test]
async fn a_yearly_due_time_is_not_run_again_once_its_row_is_older_than_rows_are_kept() {
    let mut world = World::new("2026-12-31T12:00:00Z").await;
    world.save("yearly", daily("@yearly")).await;
    world.pass(DAY, HOUR).await;
    world.pass(DAY * 91, HOUR * 13).await;
    world.restart().await;
    world.pass(DAY * 2, HOUR * 13).await;
    World::assert_due(&world.runs("yearly").await, &["2026-12-31T23:00:00Z"]);
    assert_eq!(world.begins.calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_change_of_the_message_just_after_a_due_time_does_not_take_it_away() {
    let mut world = World::new("2026-11-22T07:59:59Z").await;
    world.save("nine", daily("0 9 * * *")).await;
    world.turn().await;
    world.clock.advance(Duration::from_millis(1500));
    let mut body = daily("0 9 * * *");
    body["campaign"]["template"] = json!("other");
    world.save("nine", body).await;
    world.turn().await;
    World::assert_due(&world.runs("nine").await, &["2026-11-22T08:00:00Z"]);
    assert_eq!(world.runs("nine").await[0].version, 2);
    world.clock.advance(HOUR * 24);
    world.save("nine", daily("59 8 * * *")).await;
    world.turn().await;
    assert_eq!(world.runs("nine").await.len(), 1, "other times count from the change on");
}

/// A scan whose run was left after three of its campaigns.
async fn left() -> World {
    let mut world = World::new("2026-11-22T07:59:00Z").await;
    world.save("reminders", scan(&[7])).await;
    world.turn().await;
    world.begins.ends_after.store(3, Ordering::SeqCst);
    world.clock.advance(Duration::from_secs(60));
    world.turn().await;
    assert_eq!(world.runs("reminders").await[0].state, RunState::Starting);
    world.begins.ends_after.store(0, Ordering::SeqCst);
    world
}

async fn check_given_up(mut world: World, words: &str) {
    world.clock.advance(Duration::from_secs(10));
    world.restart().await;
    world.turn().await;
    let runs = world.runs("reminders").await;
    let run = runs.iter().find(|run| run.due_at == at("2026-11-22T08:00:00Z")).expect("it stays");
    let error = run.error.as_deref().unwrap_or_default();
    assert!(run.state == RunState::Failed && error.contains(words), "{run:?}");
    let begun = world.begins.campaigns();
    let of_run = begun.iter().filter(|campaign| run.campaigns.contains(&campaign.id)).count();
    assert_eq!(of_run, 3, "no more of it is begun");
}

#[tokio::test]
async fn a_run_that_was_left_is_given_up_after_a_day_and_after_a_change() {
    let world = left().await;
    world.clock.advance(DAY + HOUR);
    check_given_up(world, "more than a day").await;
    let world = left().await;
    world.save("reminders", scan(&[7, 1])).await;
    check_given_up(world, "was changed").await;
}
