//! A log that others share, and that cannot be read for a while, or whose partitions go before the node is told.

use std::time::Duration;

use fanfare::domain::Channel;
use futures_util::FutureExt;

use crate::world::{Place, TestProvider, Trouble, World, mail};

/// Lets the node try again, for long enough that what fails each time would stop it.
async fn let_time_pass(world: &World) {
    for _ in 0..40 {
        world.advance(Duration::from_secs(1)).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn stopped(world: &World) -> Option<String> {
    world.engine.fatal.declared().now_or_never()
}

/// As after a long pause of the whole process: the brokers gave everything away, and each reader notices before it is told.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_are_lost_all_at_once_do_not_stop_the_node() {
    let (world, others) = World::start_shared(Place::embedded(), vec![]).await;
    others.trouble(Trouble::Gone);
    let_time_pass(&world).await;
    assert_eq!(stopped(&world), None);
    others.trouble(Trouble::Told);
    world.until(async || world.engine.ownership.shards().is_empty().then_some(())).await;
    assert_eq!(stopped(&world), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_read_for_a_while_is_waited_for() {
    let provider = TestProvider::new("mail", &[Channel::Email]);
    let (world, others) = World::start_shared(Place::embedded(), vec![provider.clone()]).await;
    others.trouble(Trouble::Out);
    let waiting = world.send(mail()).await;
    let_time_pass(&world).await;
    assert_eq!(stopped(&world), None);
    others.trouble(Trouble::None);
    world
        .until(async || {
            world.advance(Duration::from_secs(1)).await;
            world.story(waiting).await
        })
        .await;
    world.expect_states(waiting, &["sent"]).await;
}
