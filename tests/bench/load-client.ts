/**
 * The load generator for what wrk cannot do: client certificates, connection churn, WebSocket messages, a steady rate,
 * idle connections. Its argument is a LoadPlan; it prints one line of JSON (LoadResult) when the time is over.
 */
import { readFileSync } from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';
import type { Http2Mode, LoadPlan, LoadResult } from './load.ts';

const plan = JSON.parse(process.argv[2]!) as LoadPlan & { readonly mode: Exclude<LoadPlan['mode'], Http2Mode> };
const secure = plan.tls && {
  cert: readFileSync(plan.tls.cert),
  key: readFileSync(plan.tls.key),
  ca: readFileSync(plan.tls.roots),
  servername: 'outbound_.80_._.server.default.svc.cluster.local',
  // Every proxy under measure has the same certificate; its name is a SPIFFE id, which node:tls does not compare.
  checkServerIdentity: () => undefined,
};
const context = secure && tls.createSecureContext(secure);
const fields = Object.entries(plan.headers).map(([name, value]) => `${name}: ${value}\r\n`);
const request = Buffer.from(`GET / HTTP/1.1\r\nHost: 127.0.0.1:${plan.port}\r\n${fields.join('')}\r\n`);
const headEnd = Buffer.from('\r\n\r\n');
/** Microseconds of each exchange; a bound on memory, and enough for a p99. */
const times = new Float64Array(2_000_000);
let done = 0;
let bytes = 0;
let errors = 0;
let over = false;

const nowUs = () => performance.now() * 1000;

function record(since: number): void {
  if (done < times.length) times[done] = nowUs() - since;
  done++;
}

function open(onOpen: (socket: net.Socket) => void, onLost: () => void): net.Socket {
  const to = { host: '127.0.0.1', port: plan.port };
  const socket = secure
    ? tls.connect({ ...to, ...secure, ...(context ? { secureContext: context } : {}) })
    : net.connect(to);
  socket.setNoDelay(true);
  socket.once(secure ? 'secureConnect' : 'connect', () => onOpen(socket));
  socket.on('error', () => socket.destroy());
  socket.once('close', () => {
    if (!over) onLost();
  });
  return socket;
}

/** Reads responses with a Content-Length off a socket. */
function responses(socket: net.Socket, onResponse: (status: number) => void): void {
  let rest: Buffer | undefined;
  let status = 0;
  let body = -1;
  socket.on('data', (data) => {
    let at = 0;
    let input = data;
    if (rest) {
      input = Buffer.concat([rest, data]);
      rest = undefined;
    }
    bytes += data.length;
    while (at < input.length) {
      if (body < 0) {
        const end = input.indexOf(headEnd, at);
        if (end < 0) {
          rest = input.subarray(at);
          return;
        }
        const head = input.toString('latin1', at, end + 2);
        status = Number(head.slice(9, 12));
        body = Number(/\r\ncontent-length: *(\d+)\r\n/i.exec(head)?.[1] ?? 0);
        at = end + 4;
      }
      const taken = Math.min(body, input.length - at);
      body -= taken;
      at += taken;
      if (body > 0) return;
      body = -1;
      onResponse(status);
    }
  });
}

/** Handshakes are no part of what is measured: requests begin when every connection is there. */
const ready: (() => void)[] = [];

function whenAllOpen(send: () => void): void {
  if (begun) {
    send();
    return;
  }
  ready.push(send);
  if (ready.length === plan.connections) begin();
}

function requestLoop(): void {
  let since = 0;
  open(
    (socket) => {
      const send = () => {
        since = nowUs();
        socket.write(request);
      };
      responses(socket, (status) => {
        if (status === 200) record(since);
        else errors++;
        if (!over) send();
      });
      whenAllOpen(send);
    },
    () => {
      errors++;
      setTimeout(requestLoop, 10);
    },
  );
}

/** Requests at fixed times whatever the answers do: latency counts from when a request was due (no coordinated omission). */
function steadyRate(rate: number): void {
  const free: (() => void)[] = [];
  const due: number[] = [];
  for (let i = 0; i < plan.connections; i++) {
    let since = 0;
    open(
      (socket) => {
        const take = () => {
          const next = due.shift();
          if (next === undefined) {
            free.push(take);
            return;
          }
          since = next;
          socket.write(request);
        };
        responses(socket, (status) => {
          if (status === 200) record(since);
          else errors++;
          take();
        });
        take();
      },
      () => errors++,
    );
  }
  const begin = nowUs() + 500_000;
  let sent = 0;
  const tick = setInterval(() => {
    const wanted = Math.floor(((nowUs() - begin) * rate) / 1e6);
    for (; sent < wanted && !over; sent++) {
      due.push(begin + (sent * 1e6) / rate);
      free.pop()?.();
    }
    if (over) clearInterval(tick);
  }, 1);
}

/** A connection (and its handshakes) for each request. */
function churn(): void {
  const since = nowUs();
  open(
    (socket) => {
      responses(socket, (status) => {
        if (status === 200) record(since);
        else errors++;
        socket.removeAllListeners('close');
        socket.once('close', () => {
          if (!over) churn();
        });
        socket.end();
      });
      socket.write(request);
    },
    () => {
      errors++;
      setTimeout(churn, 10);
    },
  );
}

const upgrade =
  `GET / HTTP/1.1\r\nHost: 127.0.0.1:${plan.port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n';

/** Messages back and forth on one WebSocket; its mask is zero, so a frame is made once. */
function webSocket(): void {
  const size = plan.bytes;
  const frame = Buffer.alloc(8 + size, 'x');
  frame.set([0x82, 0x80 | 126, size >> 8, size & 0xff, 0, 0, 0, 0]);
  let since = 0;
  open(
    (socket) => {
      let received = -1;
      socket.on('data', (data) => {
        if (received < 0) {
          if (!data.toString('latin1').startsWith('HTTP/1.1 101')) errors++;
          received = 0;
        } else {
          received += data.length;
          bytes += data.length;
          if (received < 4 + size) return;
          received -= 4 + size;
          record(since);
        }
        if (over) return;
        since = nowUs();
        socket.write(frame);
      });
      socket.write(upgrade);
    },
    () => errors++,
  );
}

function download(): void {
  open(
    (socket) => {
      socket.on('data', (data) => {
        bytes += data.length;
      });
    },
    () => errors++,
  );
}

/** One request on each connection, then silence until the process is ended. */
function idle(): void {
  let opened = 0;
  const next = () => {
    if (opened === plan.connections) {
      process.stdout.write('{"ready":true}\n');
      return;
    }
    opened++;
    open(
      (socket) => {
        responses(socket, (status) => {
          if (status !== 200) errors++;
          next();
        });
        socket.write(request);
      },
      () => {
        process.stderr.write('an idle connection was closed\n');
        process.exit(1);
      },
    );
  };
  next();
}

function report(seconds: number): void {
  over = true;
  const sorted = times.subarray(0, Math.min(done, times.length)).sort();
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  const result: LoadResult = { done, bytes, errors, seconds, p50Us: at(0.5), p99Us: at(0.99) };
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
}

let begun = false;

function begin(): void {
  begun = true;
  process.stdout.write('{"ready":true}\n');
  const from = performance.now();
  for (const send of ready) send();
  setTimeout(() => report((performance.now() - from) / 1000), plan.seconds * 1000);
}

if (plan.mode === 'idle') idle();
else {
  const waits = plan.mode === 'http' && plan.rate === 0;
  if (!waits) begin();
  if (plan.rate > 0) steadyRate(plan.rate);
  else {
    const worker = { http: requestLoop, churn, websocket: webSocket, download }[plan.mode];
    for (let i = 0; i < plan.connections; i++) worker();
  }
}
