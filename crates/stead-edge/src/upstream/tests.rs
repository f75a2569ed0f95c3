use crate::buffer::Scratch;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::LocalSet;

use super::*;

fn spec(protocol: Protocol, instances: &[(u64, u32)]) -> routing::Upstream {
    let instance = |(id, capacity): &(u64, u32)| routing::Instance {
        id: InstanceId(*id),
        address: Address::Unix("/nowhere".into()),
        capacity: *capacity,
    };
    routing::Upstream {
        app: "test".into(),
        process: "web".into(),
        release: 1,
        protocol,
        instances: instances.iter().map(instance).collect(),
        timeout: Duration::from_secs(30),
        timeouts: Timeouts::default(),
        sticky: false,
        check: None,
        queue_limit: 10_000,
        queue_timeout: Duration::from_secs(60),
    }
}

/// Where an instance is, by what tables and events said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    InTable,
    Leaving,
    Drained,
}

/// What the world outside sees of an upstream.
struct World {
    events: RefCell<UnboundedReceiver<EdgeEvent>>,
    places: RefCell<BTreeMap<u64, Place>>,
    in_flight: RefCell<BTreeMap<u64, u32>>,
    served: Cell<u32>,
}

impl World {
    fn begin(&self, id: u64, capacities: &BTreeMap<u64, u32>) {
        let mut in_flight = self.in_flight.borrow_mut();
        let count = in_flight.entry(id).or_default();
        *count += 1;
        assert!(
            *count <= capacities[&id],
            "{count} requests in instance {id}"
        );
    }

    fn end(&self, id: u64) {
        *self.in_flight.borrow_mut().get_mut(&id).unwrap() -= 1;
    }

    fn listen(&self) {
        while let Ok(event) = self.events.borrow_mut().try_recv() {
            let EdgeEvent::Drained { instance } = event else {
                panic!("{event:?}");
            };
            let id = instance.0;
            let before = self.places.borrow_mut().insert(id, Place::Drained);
            assert_eq!(
                before,
                Some(Place::Leaving),
                "instance {id} is drained once, after it left"
            );
            assert_eq!(self.in_flight.borrow().get(&id).copied().unwrap_or(0), 0);
        }
    }
}

/// SplitMix64.
fn random(state: &Cell<u64>, below: u64) -> u64 {
    state.set(state.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
    let z = state.get();
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ z >> 31) % below
}

async fn simulate(seed: u64, protocol: Protocol) {
    let dice = Rc::new(Cell::new(seed));
    let capacities: BTreeMap<u64, u32> =
        (1..9).map(|id| (id, 1 + random(&dice, 4) as u32)).collect();
    let (sender, events) = unbounded_channel();
    let upstream = Upstream::new(&spec(protocol, &[]), sender, Arc::new(Metrics::new(1)));
    let world = Rc::new(World {
        events: RefCell::new(events),
        places: RefCell::default(),
        in_flight: RefCell::default(),
        served: Cell::new(0),
    });
    let (mut requests, mut left) = (Vec::new(), 0);
    for _ in 0..300 {
        if random(&dice, 20) == 0 {
            let chosen: Vec<(u64, u32)> = capacities
                .iter()
                .filter(|_| random(&dice, 2) == 0)
                .map(|(id, capacity)| (*id, *capacity))
                .collect();
            for (id, place) in world.places.borrow_mut().iter_mut() {
                if *place == Place::InTable && !chosen.iter().any(|(chosen, _)| chosen == id) {
                    *place = Place::Leaving;
                }
            }
            for (id, _) in &chosen {
                world.places.borrow_mut().insert(*id, Place::InTable);
            }
            upstream.update(&spec(protocol, &chosen));
            world.listen();
        }
        let gives_up = random(&dice, 5) == 0;
        left += u32::from(gives_up);
        let patience = if gives_up {
            random(&dice, 30)
        } else {
            3_600_000
        };
        let upstream = Arc::clone(&upstream);
        let (world_of_request, capacities) = (Rc::clone(&world), capacities.clone());
        let works = Duration::from_micros(random(&dice, 20_000));
        requests.push(tokio::task::spawn_local(async move {
            let request = async {
                let lease = upstream
                    .acquire(Scratch::default(), Wish::default())
                    .await
                    .unwrap();
                let id = lease.instance().0;
                world_of_request.begin(id, &capacities);
                // Ends when the request does, or when its visitor leaves in the middle.
                let ended = Ended(Rc::clone(&world_of_request), id, Some(lease));
                tokio::time::sleep(works).await;
                drop(ended);
                world_of_request
                    .served
                    .set(world_of_request.served.get() + 1);
            };
            let _ = tokio::time::timeout(Duration::from_millis(patience), request).await;
        }));
        tokio::time::sleep(Duration::from_micros(random(&dice, 4_000))).await;
        world.listen();
    }
    // Whoever still waits is served by an instance that stays.
    for place in world.places.borrow_mut().values_mut() {
        if *place == Place::InTable {
            *place = Place::Leaving;
        }
    }
    world.places.borrow_mut().insert(1, Place::InTable);
    upstream.update(&spec(protocol, &[(1, capacities[&1])]));
    for request in requests {
        request.await.unwrap();
    }
    world.listen();
    assert!(
        world.served.get() >= 300 - left,
        "seed {seed}: requests were lost"
    );
    assert_eq!(upstream.in_flight(), 0, "seed {seed}");
    world.places.borrow_mut().insert(1, Place::Leaving);
    upstream.retire();
    world.listen();
    for (id, place) in world.places.borrow().iter() {
        assert_eq!(*place, Place::Drained, "seed {seed}, instance {id}");
    }
    // Nothing looks at a queue that nobody waits in.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(Arc::strong_count(&upstream), 1, "seed {seed}");
}

/// The world hears of the end before the upstream can act on it.
struct Ended(Rc<World>, u64, Option<Lease>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.end(self.1);
        drop(self.2.take());
        self.0.listen();
    }
}

#[tokio::test(start_paused = true)]
async fn no_instance_gets_more_than_it_takes_and_no_request_is_lost() {
    for seed in 0..40 {
        for protocol in [Protocol::Frames, Protocol::Http] {
            LocalSet::new().run_until(simulate(seed, protocol)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_came_first_is_served_first() {
    let (sender, _events) = unbounded_channel();
    let upstream = Upstream::new(
        &spec(Protocol::Frames, &[(1, 1)]),
        sender,
        Arc::new(Metrics::new(1)),
    );
    let order = Rc::new(RefCell::new(Vec::new()));
    let tasks = LocalSet::new();
    let mut requests = Vec::new();
    tasks
        .run_until(async {
            for number in 0..50 {
                let (upstream, order) = (Arc::clone(&upstream), Rc::clone(&order));
                requests.push(tokio::task::spawn_local(async move {
                    let lease = upstream
                        .acquire(Scratch::default(), Wish::default())
                        .await
                        .unwrap();
                    order.borrow_mut().push(number);
                    tokio::time::sleep(Duration::from_millis(number % 3)).await;
                    drop(lease);
                }));
                tokio::task::yield_now().await;
            }
            for request in requests {
                request.await.unwrap();
            }
        })
        .await;
    assert_eq!(*order.borrow(), (0..50).collect::<Vec<u64>>());
}

#[tokio::test(start_paused = true)]
async fn a_second_thread_is_used_only_for_requests_that_take_long() {
    let (sender, _events) = unbounded_channel();
    let upstream = Upstream::new(
        &spec(Protocol::Frames, &[(1, 4), (2, 4)]),
        sender,
        Arc::new(Metrics::new(1)),
    );
    let first = upstream
        .acquire(Scratch::default(), Wish::default())
        .await
        .unwrap();
    let second = upstream
        .acquire(Scratch::default(), Wish::default())
        .await
        .unwrap();
    assert_ne!(
        first.instance(),
        second.instance(),
        "an idle instance comes first"
    );
    let began = Instant::now();
    let third = upstream
        .acquire(Scratch::default(), Wish::default())
        .await
        .unwrap();
    assert!(began.elapsed() >= PATIENCE);
    drop((first, second, third));
    assert_eq!(upstream.in_flight(), 0);
}

#[test]
fn an_instance_that_drains_is_known_by_the_release_that_it_runs() {
    let mut spec = spec(Protocol::Http, &[(1, 4), (2, 4)]);
    let metrics = Metrics::new(1);
    let mut state = State::new(Arc::new(Settings::new(&spec, &metrics)));
    state.replace_instances(&spec.instances);
    let now = Instant::now();
    for _ in 0..2 {
        assert!(state.pick(now, Wish::default(), Duration::ZERO).is_some());
    }
    // The second one stays, which makes it an instance of whatever the table says.
    spec.release = 2;
    spec.instances.remove(0);
    state.settings = Arc::new(Settings::new(&spec, &metrics));
    state.replace_instances(&spec.instances);
    let instances = state.situation(now).instances;
    let seen = instances.iter().map(|i| (i.id.0, i.release, i.state));
    assert_eq!(
        seen.collect::<Vec<_>>(),
        [(2, 2, "serving"), (1, 1, "draining")]
    );
}

#[test]
fn while_the_processors_are_busy_a_further_thread_is_used_later() {
    let spec = spec(Protocol::Frames, &[(1, 4)]);
    let settings = Settings::new(&spec, &Metrics::new(1));
    let mut state = State::new(Arc::new(settings));
    state.replace_instances(&spec.instances);
    let now = Instant::now();
    assert!(state.pick(now, Wish::default(), Duration::ZERO).is_some());
    let later = now + PATIENCE;
    state.patience = PATIENCE_WHEN_BUSY;
    assert!(state.pick(later, Wish::default(), Duration::ZERO).is_none());
    state.patience = PATIENCE;
    assert!(state.pick(later, Wish::default(), Duration::ZERO).is_some());
    state.patience = PATIENCE_WHEN_BUSY;
    assert!(
        state
            .pick(later + PATIENCE_WHEN_BUSY, Wish::default(), Duration::ZERO)
            .is_some(),
        "who waits for something else than a processor has a thread in the end"
    );
}

#[test]
fn while_the_processors_are_busy_no_more_instances_work_than_there_are_processors() {
    let spec = spec(Protocol::Frames, &[(1, 4), (2, 4), (3, 4)]);
    let began = Instant::now();
    let third = |now, waited| {
        let settings = Settings::new(&spec, &Metrics::new(1));
        let mut state = State::new(Arc::new(settings));
        state.replace_instances(&spec.instances);
        (state.processors, state.patience) = (2, PATIENCE_WHEN_BUSY);
        for _ in 0..2 {
            let picked = state.pick(began, Wish::default(), Duration::ZERO);
            assert!(picked.is_some());
        }
        let picked = state.pick(now, Wish::default(), waited);
        picked.map(|picked| picked.id.0)
    };
    assert_eq!(third(began, Duration::ZERO), None);
    assert_eq!(
        third(began + PATIENCE_WHEN_BUSY, Duration::ZERO),
        Some(3),
        "requests that take long may be waiting for something else"
    );
    assert_eq!(
        third(began, PATIENCE_WHEN_BUSY),
        Some(3),
        "who has waited long is not held back"
    );
}

#[tokio::test(start_paused = true)]
async fn the_queue_ends_for_whoever_waits_too_long_or_finds_it_full() {
    let (sender, _events) = unbounded_channel();
    let mut without = spec(Protocol::Frames, &[]);
    (without.queue_limit, without.queue_timeout) = (2, Duration::from_secs(3));
    let upstream = Upstream::new(&without, sender, Arc::new(Metrics::new(1)));
    let began = Instant::now();
    let (first, second, third) = tokio::join!(
        upstream.acquire(Scratch::default(), Wish::default()),
        upstream.acquire(Scratch::default(), Wish::default()),
        upstream.acquire(Scratch::default(), Wish::default())
    );
    assert_eq!(first.unwrap_err(), Unavailable::TimedOut);
    assert_eq!(second.unwrap_err(), Unavailable::TimedOut);
    assert_eq!(third.unwrap_err(), Unavailable::QueueFull);
    assert!(began.elapsed() >= Duration::from_secs(3));
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(
        Arc::strong_count(&upstream),
        1,
        "nothing looks at the queue any more"
    );
}

#[tokio::test(start_paused = true)]
async fn connections_that_many_requests_had_at_once_are_kept_for_as_long_as_they_are_of_use() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("web.sock");
    let _server = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let mut spec = spec(Protocol::Http, &[(1, 1000)]);
    spec.instances[0].address = Address::Unix(socket);
    let (sender, _events) = unbounded_channel();
    let upstream = Upstream::new(&spec, sender, Arc::new(Metrics::new(1)));
    let count = IDLE_LIMIT + 36;
    for round in 1..=3 {
        let mut leases = Vec::new();
        for _ in 0..count {
            let mut lease = upstream
                .acquire(Scratch::default(), Wish::default())
                .await
                .unwrap();
            let stream = match lease.stream.take() {
                Some(stream) => stream,
                None => {
                    assert_eq!(round, 1, "a connection was closed in vain");
                    Stream::connect(&lease.address, Protocol::Http)
                        .await
                        .unwrap()
                }
            };
            leases.push((lease, stream));
        }
        for (lease, stream) in leases {
            lease.finish(stream);
        }
    }
    let idle = || upstream.lock().idle();
    assert_eq!(idle(), count);
    tokio::time::sleep(SURPLUS_TIME * 3).await;
    assert_eq!(idle(), IDLE_LIMIT);
    assert!(!upstream.lock().trimmed);
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_at_the_moment_of_its_turn_takes_nobodys_answer_along() {
    use std::io::Write as _;

    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("web.sock");
    let server = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let mut spec = spec(Protocol::Frames, &[(1, 1)]);
    spec.instances[0].address = Address::Unix(socket);
    let (sender, _events) = unbounded_channel();
    let upstream = Upstream::new(&spec, sender, Arc::new(Metrics::new(1)));
    let acquire = |text: &[u8]| {
        let mut frame = Scratch::take();
        frame.0.extend_from_slice(text);
        Box::pin(upstream.acquire(frame, Wish::default()))
    };
    let first = acquire(b"first").await.unwrap();
    let stream = Stream::connect(&first.address, Protocol::Frames)
        .await
        .unwrap();
    let mut worker = server.accept().unwrap().0;
    first.opened(&stream);
    let mailbox = Arc::clone(stream.mailbox().unwrap());
    mailbox.put(b"first").unwrap();
    assert!(mailbox.read());
    let (mut second, mut third) = (acquire(b"second"), acquire(b"third"));
    for waiting in [&mut second, &mut third] {
        let now = std::future::poll_fn(|context| {
            std::task::Poll::Ready(Future::poll(waiting.as_mut(), context).is_ready())
        });
        assert!(!now.await);
    }
    // The second one's turn comes, and the third is put in behind it. The thread has begun with both.
    first.finish(stream);
    assert!(mailbox.read() && mailbox.read());
    drop(second);
    worker
        .write_all(&crate::frames::header(crate::frames::response::END, 0))
        .unwrap();
    let third = third.await.expect("its answer comes behind the second's");
    assert!(third.sent && third.stream.is_some());
}
