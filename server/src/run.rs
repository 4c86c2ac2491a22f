//! Starting, and stopping.

use std::any::Any;
use std::net::SocketAddr;
use std::time::Duration;

use actix_web::middleware::from_fn;
#[cfg(target_os = "linux")]
use actix_web::rt::net::TcpStream;
use actix_web::{App, HttpServer, rt, web};
use unprompt::predictor::Predictor;
use unprompt::text::SentenceEncoder;

use crate::config::Config;
use crate::error::Error;
use crate::state::State;
use crate::{guard, reload, routes};
#[cfg(target_os = "linux")]
use socket2::SockRef;

/// Seconds that requests have to finish in once the server is asked to stop.
const SHUTDOWN_SECONDS: u64 = 30;

/// A server that listens.
pub struct Server {
    server: actix_web::dev::Server,
    state: web::Data<State>,
    address: SocketAddr,
    system: rt::SystemRunner,
}

impl Server {
    /// Opens the index and listens. Requests are answered once it [runs](Server::run); those with an image are refused
    /// without a model.
    ///
    /// # Errors
    /// [`Error::Unprompt`] if the index or the folder of images cannot be opened, or the index is not of the encoder of
    /// model and sentences; [`Error::Bind`], [`Error::Key`], [`Error::Memory`].
    pub fn bind(
        config: Config,
        predictor: Option<Predictor>,
        sentences: SentenceEncoder,
    ) -> Result<Self, Error> {
        let is_key = |key: &str| !key.is_empty() && key.bytes().all(|it| it.is_ascii_graphic());
        if config.api_key.as_deref().is_some_and(|key| !is_key(key)) {
            return Err(Error::Key);
        }
        let limits = &config.limits;
        let (body, memory) = (limits.longest_body(), limits.memory_bytes);
        if body > memory {
            return Err(Error::Memory { body, memory });
        }
        let system = rt::System::new();
        let state = web::Data::new(State::new(config, predictor, sentences)?);
        let config = &state.config;
        let shared = state.clone();
        let patience = config.limits.patience();
        let mut server = HttpServer::new(move || {
            App::new()
                .app_data(shared.clone())
                .wrap(from_fn(guard::around))
                .configure(routes::configure)
        })
        .on_connect(move |connection, _| give_up_after(patience, connection))
        .client_request_timeout(config.limits.client)
        .client_disconnect_timeout(config.limits.client)
        // Who has gone is no longer worked for.
        .h1_allow_half_closed(false)
        .disable_signals()
        .shutdown_timeout(SHUTDOWN_SECONDS);
        if let Some(workers) = config.workers {
            server = server.workers(workers.get());
        }
        let failed = |source| Error::Bind {
            address: config.bind,
            source,
        };
        let server = server.bind(config.bind).map_err(failed)?;
        let address = server.addrs().first().copied().unwrap_or(config.bind);
        #[expect(
            clippy::async_yields_async,
            reason = "it is started within the system, and awaited when it runs"
        )]
        let server = system.block_on(async { server.run() });
        Ok(Self {
            server,
            state,
            address,
            system,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What stops it from another thread.
    pub fn handle(&self) -> Handle {
        Handle(self.server.handle())
    }

    /// Answers until its handle stops it.
    ///
    /// # Errors
    /// [`Error::Start`] if it fails on the way.
    pub fn run(self) -> Result<(), Error> {
        let Self {
            server,
            state,
            system,
            ..
        } = self;
        system
            .block_on(async move {
                let reloading = rt::spawn(reload::watch(state));
                let ended = server.await;
                reloading.abort();
                ended
            })
            .map_err(Error::Start)
    }
}

/// Stops a server, from any thread.
#[derive(Clone, Debug)]
pub struct Handle(actix_web::dev::ServerHandle);

impl Handle {
    /// Nothing new is taken, and what is being answered is answered to its end.
    pub fn stop(&self) {
        // The message is sent when the future is made; it waits for the end.
        drop(self.0.stop(true));
    }
}

/// Has the system end a connection whose client takes nothing of what is sent for so long; only Linux can.
fn give_up_after(patience: Duration, connection: &dyn Any) {
    #[cfg(target_os = "linux")]
    if let Some(stream) = connection.downcast_ref::<TcpStream>()
        && let Err(error) = SockRef::from(stream).set_tcp_user_timeout(Some(patience))
    {
        tracing::warn!("a connection without a timeout: {error}");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (patience, connection);
}
