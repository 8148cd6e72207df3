/** x-forwarded-client-cert under mTLS and without: every mode with every part, from Envoy and from Tulle alike. */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../../kit/environment.ts';
import { ENVOY, startEnvoy } from '../../kit/envoy.ts';
import { type RunningProxy, startTulle } from '../../kit/proxy.ts';
import { type Json, to } from '../harness/bootstrap-parts.ts';
import { type Echo, startEcho } from '../harness/echo.ts';
import { listener, manager, staticCluster } from '../shared-file/bootstrap.ts';
import { authorityIn, type SvidFiles, serverSocket, svidFiles } from './svids.ts';

const MODES = ['SANITIZE', 'FORWARD_ONLY', 'APPEND_FORWARD', 'SANITIZE_SET', 'ALWAYS_FORWARD_ONLY'];
const PARTS: Record<string, Json> = {
  none: {},
  uri: { uri: true },
  names: { uri: true, dns: true, subject: true },
  cert: { cert: true, uri: true },
  chain: { chain: true },
  all: { cert: true, chain: true, subject: true, uri: true, dns: true },
};
const GIVEN: Record<string, string[]> = {
  absent: [],
  one: ['By=spiffe://other;Hash=ab;URI=spiffe://before'],
  two: ['By=first', 'By=second;Subject="CN=\\"x\\""'],
};

describe.skipIf(!ENVOY)('x-forwarded-client-cert', () => {
  const folder = temporaryFolder();
  const proxies: RunningProxy[] = [];
  const expected = new Map<string, string>();
  let echo: Echo;
  let client: SvidFiles;
  let bootstrap: Json;

  const listeners = () => {
    const routes = [{ match: { prefix: '/' }, ...to('app') }];
    return MODES.flatMap((forward_client_cert_details) =>
      Object.entries(PARTS).flatMap(([part, set_current_client_cert_details]) => {
        const hcm = manager(routes, [], { forward_client_cert_details, set_current_client_cert_details });
        const name = `${forward_client_cert_details} ${part}`;
        return [listener(name, hcm, serverSocket(server, client.id)), listener(`${name} plain`, hcm)];
      }),
    );
  };
  let server: SvidFiles;

  /** The values the upstream sees, for every listener and every header given. */
  const ask = async (proxy: RunningProxy): Promise<Map<string, string>> => {
    const tls: ConnectionOptions = {
      cert: readFileSync(client.cert),
      key: readFileSync(client.key),
      rejectUnauthorized: false,
    };
    const found = new Map<string, string>();
    const names = Object.keys(proxy.ports).filter((name) => MODES.includes(name.split(' ')[0]!));
    const each = names.flatMap((name) => Object.keys(GIVEN).map((given) => [name, given] as const));
    for (const [name, given] of each) found.set(`${name}, ${given}`, '');
    const run = async (): Promise<void> => {
      for (let next = each.shift(); next; next = each.shift()) {
        const [name, given] = next;
        const body = await get(proxy.ports[name]!, name.endsWith(' plain') ? undefined : tls, GIVEN[given]!);
        const { headers } = JSON.parse(body) as { headers: [string, string][] };
        const values = headers.filter(([key]) => key === 'x-forwarded-client-cert').map(([, value]) => value);
        // Several lines are one list (RFC 9110 section 5.3); Envoy joins those of this field.
        found.set(`${name}, ${given}`, values.join(','));
      }
    };
    await Promise.all(Array.from({ length: 8 }, run));
    return found;
  };

  beforeAll(async () => {
    echo = await startEcho('app');
    const authority = await authorityIn(`${folder.path}/ca`);
    server = await svidFiles(authority, folder.path, 'server');
    client = await svidFiles(authority, folder.path, 'client');
    bootstrap = {
      node: { id: 'xfcc', cluster: 'xfcc' },
      admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } },
      static_resources: { listeners: listeners(), clusters: [staticCluster('app', echo.port)] },
    };
    const envoy = await startEnvoy(bootstrap, folder.path);
    proxies.push(envoy);
    for (const [name, values] of await ask(envoy)) expected.set(name, values);
  });
  afterAll(async () => {
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    echo.stop();
    folder.dispose();
  });

  it('Envoy gives something to compare', () => {
    expect(expected.size).toBe(MODES.length * Object.keys(PARTS).length * Object.keys(GIVEN).length * 2);
    expect(expected.get('SANITIZE_SET all, one')).toContain(`URI=${client.id}`);
  });

  it.each(RUNTIMES)('%s writes what Envoy writes', async (runtime) => {
    const tulle = await startTulle(runtime, bootstrap, folder.path);
    proxies.push(tulle);
    expect(Object.fromEntries(await ask(tulle))).toEqual(Object.fromEntries(expected));
  });
});

/** @returns the body of the answer */
function get(port: number, tls: ConnectionOptions | undefined, values: readonly string[]): Promise<string> {
  return new Promise((done, fail) => {
    const socket = tls ? connectTls({ ...tls, port, host: '127.0.0.1' }) : connect(port, '127.0.0.1');
    let text = '';
    const lines = ['GET / HTTP/1.1', 'Host: main.test', 'Connection: close'];
    for (const value of values) lines.push(`X-Forwarded-Client-Cert: ${value}`);
    socket.on(tls ? 'secureConnect' : 'connect', () => socket.write(`${lines.join('\r\n')}\r\n\r\n`));
    socket.setEncoding('latin1').on('data', (part: unknown) => (text += String(part)));
    socket.on('error', fail);
    socket.on('close', () => done(text.slice(text.indexOf('\r\n\r\n') + 4)));
  });
}
