/** What follows an extended CONNECT never reaches an upstream as HTTP: it would be a request that no policy has judged. */
import { afterEach, expect, it } from 'vitest';
import { concat, fromLatin1 } from '../codec/bytes.ts';
import type { Field } from '../codec/h2/fields.ts';
import { CLIENT_PREFACE, FLAG, FRAME, frame, settingsFrame } from '../codec/h2/frames.ts';
import { literalBlock } from '../testing/header-blocks.ts';
import { FramePeer } from '../testing/http2/outcome.ts';
import { closeAll, downstream, setup } from '../testing/manager.ts';
import { memoryPair, Wire } from '../testing/memory-network.ts';

afterEach(closeAll);

const REQUEST = 'GET /admin HTTP/1.1\r\nhost: h\r\n\r\n';
const NOT_FOUND = 'HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n';
const SWITCHED = 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n';

const data = (text: string, flags = 0) => frame(FRAME.DATA, flags, 1, fromLatin1(text));

function connect(protocol: string, flags = 0): Uint8Array {
  const fields: Field[] = [
    [':method', 'CONNECT'],
    [':protocol', protocol],
    [':scheme', 'http'],
    [':authority', 'h'],
    [':path', '/chat'],
  ];
  return frame(FRAME.HEADERS, FLAG.END_HEADERS | flags, 1, literalBlock(fields));
}

/** A manager that grants WebSockets and CONNECT, and a client whose preface is sent. */
function start() {
  const server = setup({
    options: {
      config: {
        statPrefix: 't',
        generateRequestId: false,
        upgradeConfigs: [{ upgradeType: 'websocket' }, { upgradeType: 'CONNECT' }],
        http2ProtocolOptions: { allowConnect: true, overrideStreamErrorOnInvalidHttpMessage: true },
      },
    },
  });
  const { connection } = server.connect();
  const peer = new FramePeer(0);
  connection.handler = peer;
  const send = (...frames: Uint8Array[]) => connection.write(frames.reduce(concat));
  const hello = [CLIENT_PREFACE, settingsFrame([]), frame(FRAME.SETTINGS, FLAG.ACK, 0)];
  return { ...server, send: (...frames: Uint8Array[]) => send(...hello.splice(0), ...frames), seen: peer.outcome };
}

/** All that is under way in memory has arrived. */
const settled = () => new Promise((done) => void setImmediate(done));

it.each([
  ['in one read', (send: (...frames: Uint8Array[]) => void) => send(connect('h2c'), data(REQUEST))],
  [
    'later',
    async (send: (...frames: Uint8Array[]) => void) => {
      send(connect('h2c'));
      await settled();
      send(data(REQUEST));
    },
  ],
])('refuses h2c over HTTP/2, where it cannot be ignored, with bytes that come %s', async (_when, act) => {
  const { send, seen, finished, runtime } = start();
  await act(send);
  await settled();
  expect(runtime.dialled).toEqual([]);
  expect(finished.map(({ responseCode, details }) => [responseCode, details])).toEqual([[403, 'upgrade_failed']]);
  expect(seen.ended).toEqual([1]);
});

it('refuses a protocol with the name of a plain CONNECT', async () => {
  const { send, seen, runtime } = start();
  send(connect('connect'), data(REQUEST));
  await settled();
  expect(seen.resets).toEqual({ 1: 1 });
  expect(runtime.dialled).toEqual([]);
});

it('refuses an HTTP/1.1 upgrade with the name of a plain CONNECT', async () => {
  const { manager, runtime } = start();
  const [client, server] = memoryPair();
  const wire = new Wire(client);
  manager.accept(server, downstream);
  wire.send(`GET /chat HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: connect\r\n\r\n${REQUEST}`);
  expect(await wire.saw('\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /);
  expect(runtime.dialled).toEqual([]);
});

it.each(['websocket', 'bytestream'])(
  'sends nothing behind a %s request that the upstream refuses',
  async (protocol) => {
    const { send, seen, backend, finished, cluster } = start();
    send(connect(protocol), data(REQUEST));
    const wire = await backend();
    await wire.saw('\r\n\r\n');
    send(data(REQUEST));
    await settled();
    wire.send(NOT_FOUND);
    await settled();
    send(data(REQUEST));
    await settled();
    expect(wire.text).not.toContain('/admin');
    expect(wire.closed).toBe(true);
    expect(finished.map(({ responseCode }) => responseCode)).toEqual([404]);
    expect(seen.ended).toEqual([1]);
    expect(cluster.use).toMatchObject({ connections: 0, pending: 0, requests: 0 });
  },
);

it.each([
  ['websocket', SWITCHED],
  ['bytestream', 'HTTP/1.1 200 OK\r\n\r\n'],
])('sends what came early of a %s tunnel once it is open, and its end', async (protocol, answer) => {
  const { send, seen, backend, finished, cluster } = start();
  send(connect(protocol), data('early '));
  const wire = await backend();
  const head = await wire.saw('\r\n\r\n');
  send(data('more '));
  await settled();
  expect(wire.text).toBe(head);
  wire.send(answer);
  await wire.saw('more');
  send(data('late', FLAG.END_STREAM));
  await wire.until(() => wire.ended);
  expect(wire.text.slice(head.length)).toBe('early more late');
  wire.send('bye');
  wire.connection.end();
  await settled();
  expect(seen.data).toEqual({ 1: 3 });
  expect(seen.ended).toEqual([1]);
  expect(finished).toHaveLength(1);
  expect(cluster.use).toMatchObject({ connections: 0, pending: 0, requests: 0 });
});

it('ends a tunnel upstream whose client ended it before it was open', async () => {
  const { send, backend } = start();
  send(connect('websocket'));
  const wire = await backend();
  const head = await wire.saw('\r\n\r\n');
  send(data('', FLAG.END_STREAM));
  await settled();
  expect(wire.ended).toBe(false);
  wire.send(SWITCHED);
  await wire.until(() => wire.ended);
  expect(wire.text).toBe(head);
});

it('ends a tunnel upstream whose request ended with its head', async () => {
  const { send, backend } = start();
  send(connect('websocket', FLAG.END_STREAM));
  const wire = await backend();
  await wire.saw('\r\n\r\n');
  wire.send(SWITCHED);
  await wire.until(() => wire.ended);
});
