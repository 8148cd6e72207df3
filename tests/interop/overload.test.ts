/** The overload manager beside a real Envoy: one bootstrap, the same pressure, the same answers and statistics. */
import { renameSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder, until } from '../harness.ts';
import { listener, manager } from './bootstrap.ts';
import { ENVOY, type RunningProxy, startEnvoy } from './envoy.ts';
import { startTulle } from './tulle.ts';

const MONITOR = 'envoy.resource_monitors.injected_resource';
const at = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });

describe.skipIf(!ENVOY)('the overload manager beside Envoy', () => {
  const folder = temporaryFolder();
  const pressure = join(folder.path, 'pressure');
  const proxies: RunningProxy[] = [];
  const press = (value: string) => {
    writeFileSync(`${pressure}.next`, value);
    renameSync(`${pressure}.next`, pressure);
  };

  beforeAll(async () => {
    press('0.1');
    const bootstrap = {
      node: { id: 'x', cluster: 'x' },
      admin: { address: at(0) },
      overload_manager: {
        refresh_interval: '0.05s',
        resource_monitors: [
          {
            name: MONITOR,
            typed_config: {
              '@type':
                'type.googleapis.com/envoy.extensions.resource_monitors.injected_resource.v3.InjectedResourceConfig',
              filename: pressure,
            },
          },
        ],
        actions: [
          ['disable_http_keepalive', 0.5],
          ['stop_accepting_requests', 0.7],
        ].map(([name, value]) => ({
          name: `envoy.overload_actions.${name}`,
          triggers: [{ name: MONITOR, threshold: { value } }],
        })),
      },
      static_resources: {
        listeners: [
          listener(
            'main',
            manager([{ match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: 'ok' } } }], []),
          ),
        ],
        clusters: [],
      },
    };
    proxies.push(await startEnvoy(bootstrap, folder.path));
    for (const runtime of RUNTIMES) proxies.push(await startTulle(runtime, bootstrap, folder.path));
  });

  afterAll(async () => {
    for (const proxy of proxies) await proxy.part.stop();
    folder.dispose();
  });

  /** Status, connection header and body; date and server name say nothing. */
  const ask = (proxy: RunningProxy): Promise<string> =>
    new Promise((resolve) => {
      const socket = net.connect({ host: '127.0.0.1', port: proxy.ports['main']! }, () =>
        socket.write('GET / HTTP/1.1\r\nhost: main.test\r\n\r\n'),
      );
      let got = '';
      socket.on('error', () => {});
      socket.on('close', () => resolve(got));
      socket.on('data', (bytes) => {
        got += bytes;
        const [head, body = ''] = got.split('\r\n\r\n');
        const length = Number(/content-length: (\d+)/.exec(head!)?.[1] ?? Number.NaN);
        if (body.length < length) return;
        const lines = head!.split('\r\n').filter((line) => !/^(date|server):/.test(line));
        resolve(`${[lines[0], ...lines.slice(1).sort()].join('|')}||${body}`);
        socket.destroy();
      });
    });

  it.each([
    ['0.1', /200 OK\|content-length: 2\|content-type: text\/plain\|\|ok$/],
    ['0.6', /200 OK\|connection: close/],
    ['0.8', /503 Service Unavailable\|connection: close.*envoy overloaded$/],
    ['0.2', /200 OK\|content-length/],
  ])('answers the same at a pressure of %s', async (value, wanted) => {
    press(value);
    for (const proxy of proxies) await until(`${proxy.name} at ${value}`, async () => wanted.test(await ask(proxy)));
    const answers = await Promise.all(proxies.map(ask));
    expect(new Set(answers)).toEqual(new Set([answers[0]]));
  });
});
