//! The accept loop: TLS, HTTP/1.1, a cap on connections, and an end to every wait.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// A handshake takes milliseconds; a peer that is silent for so long is none.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// From the first byte of a request to the end of its head.
const HEAD: Duration = Duration::from_secs(10);
/// The API server keeps a connection for 90 seconds after its last request.
const IDLE: Duration = Duration::from_secs(180);
/// How long answers may take once the server is to end.
const DRAIN: Duration = Duration::from_secs(20);
/// A pause after a failed accept: without file handles the next one fails at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a listener needs beside its socket.
pub struct Listener {
    pub socket: TcpListener,
    pub tls: Arc<ServerConfig>,
    pub connections: usize,
}

/// Serves until the token is cancelled, then finishes the answers that are under way.
pub async fn serve(listener: Listener, app: Router, stop: CancellationToken) {
    let acceptor = TlsAcceptor::from(listener.tls);
    let room = Arc::new(Semaphore::new(listener.connections));
    let drain = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener.socket, &room) => accepted,
        };
        let (stream, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection; trying again");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (acceptor, app, watcher) = (acceptor.clone(), app.clone(), drain.watcher());
        tokio::spawn(async move {
            let _room = permit;
            match timeout(HANDSHAKE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => connection(stream, app, watcher).await,
                Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
                Err(_) => tracing::debug!("TLS handshake took too long"),
            }
        });
    }
    drop(listener.socket);
    if timeout(DRAIN, drain.shutdown()).await.is_err() {
        tracing::warn!(after = ?DRAIN, "ending with requests still open");
    }
}

async fn accept(
    socket: &TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = room.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = socket.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, permit))
}

async fn connection<S>(stream: S, app: Router, watcher: hyper_util::server::graceful::Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let pace = Arc::new(Pace::default());
    let io = TokioIo::new(Paced { stream, pace: pace.clone() });
    let served = pace.clone();
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let (app, pace) = (app.clone(), served.clone());
        async move {
            pace.enter(State::Answering);
            let response = app.oneshot(request.map(Body::new)).await;
            pace.enter(State::Idle);
            response
        }
    });
    let serving = watcher.watch(http1::Builder::new().serve_connection(io, service));
    tokio::select! {
        served = serving => {
            if let Err(error) = served {
                tracing::debug!(%error, "connection ended early");
            }
        }
        why = pace.overdue() => tracing::debug!(why, "connection closed"),
    }
}

/// Where a connection stands and since when; hyper's one limit for heads also ends idle connections, which must live longer.
struct Pace {
    born: Instant,
    /// Milliseconds since birth, shifted by two for the state.
    since: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
enum State {
    Idle = 0,
    Head = 1,
    Answering = 2,
}

impl Default for Pace {
    fn default() -> Self {
        Self { born: Instant::now(), since: AtomicU64::new(State::Idle as u64) }
    }
}

impl Pace {
    fn enter(&self, state: State) {
        let millis = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX >> 2);
        self.since.store(millis << 2 | state as u64, Ordering::Relaxed);
    }

    fn now(&self) -> (State, Duration) {
        let packed = self.since.load(Ordering::Relaxed);
        let state = match packed & 3 {
            0 => State::Idle,
            1 => State::Head,
            _ => State::Answering,
        };
        (state, self.born.elapsed().saturating_sub(Duration::from_millis(packed >> 2)))
    }

    fn bytes_came(&self) {
        if self.now().0 == State::Idle {
            self.enter(State::Head);
        }
    }

    /// Ends when the peer kept us waiting for too long.
    async fn overdue(&self) -> &'static str {
        loop {
            let (state, held) = self.now();
            let (limit, why) = match state {
                State::Idle => (IDLE, "idle"),
                State::Head => (HEAD, "slow head"),
                State::Answering => (HEAD, ""),
            };
            if held >= limit && state != State::Answering {
                return why;
            }
            // A head may begin at any moment, so look again at least as often as its limit asks.
            sleep(limit.saturating_sub(held).clamp(Duration::from_millis(10), HEAD / 4)).await;
        }
    }
}

/// Tells the pace when the first bytes of a request arrive.
struct Paced<S> {
    stream: S,
    pace: Arc<Pace>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.pace.bytes_came();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::post;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    /// A client whose other end is served; time is the test's.
    fn connected() -> (DuplexStream, tokio::task::JoinHandle<()>) {
        let (client, server) = tokio::io::duplex(64 * 1024);
        let app = Router::new().route("/", post(|| async { "ok" }));
        (client, tokio::spawn(async move { connection(server, app, GracefulShutdown::new().watcher()).await }))
    }

    async fn exchange(client: &mut DuplexStream) -> String {
        client.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        let mut answer = [0; 1024];
        let length = client.read(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }

    /// T-14: the API server comes back on a connection after up to 90 seconds.
    #[tokio::test(start_paused = true)]
    async fn t_14_a_connection_outlives_the_api_servers_patience_and_no_more() {
        let (mut client, serving) = connected();
        for idle in [0, 100, 170] {
            sleep(Duration::from_secs(idle)).await;
            assert!(exchange(&mut client).await.starts_with("HTTP/1.1 200"), "after {idle} s");
        }
        sleep(IDLE + HEAD).await;
        assert!(serving.is_finished());
    }

    /// T-09: a head that dribbles in is not waited for.
    #[tokio::test(start_paused = true)]
    async fn t_09_a_slow_head_ends_its_connection() {
        let (mut client, serving) = connected();
        assert!(exchange(&mut client).await.starts_with("HTTP/1.1 200"));
        for byte in b"POST / HTTP/1.1".chunks(1).chain(std::iter::repeat_n(&b"x"[..], 20)) {
            if client.write_all(byte).await.is_err() {
                break;
            }
            sleep(Duration::from_secs(1)).await;
        }
        assert!(serving.is_finished());
    }
}
