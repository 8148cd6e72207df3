/** The overload manager beside a real Envoy: one bootstrap, the same pressure, the same answers and statistics. */
import { renameSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../../kit/environment.ts';
import { ENVOY, startEnvoy } from '../../kit/envoy.ts';
import { type RunningProxy, startTulle } from '../../kit/proxy.ts';
import { until } from '../../kit/waiting.ts';
import { listener, manager } from '../shared-file/bootstrap.ts';

const DRILLS = ['load', 'times', 'headers', 'bytes', 'accept'] as const;
type Drill = (typeof DRILLS)[number];
const threshold = (name: Drill, value: number) => [{ name, threshold: { value } }];
const scaled = (name: Drill, from: number, to: number) => [
  { name, scaled: { scaling_threshold: from, saturation_threshold: to } },
];
const TIMERS = 'type.googleapis.com/envoy.config.overload.v3.ScaleTimersOverloadActionConfig';
const at = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });

describe.skipIf(!ENVOY)('the overload manager beside Envoy', () => {
  const folder = temporaryFolder();
  const proxies: RunningProxy[] = [];
  const press = (value: string, drill: Drill = 'load') => {
    const file = join(folder.path, drill);
    writeFileSync(`${file}.next`, value);
    renameSync(`${file}.next`, file);
  };

  beforeAll(async () => {
    for (const drill of DRILLS) press('0.1', drill);
    const shed = (point: string, drill: Drill) => ({
      name: `envoy.load_shed_points.${point}`,
      triggers: scaled(drill, 0.5, 0.9),
    });
    const bootstrap = {
      node: { id: 'x', cluster: 'x' },
      admin: { address: at(0) },
      overload_manager: {
        refresh_interval: '0.05s',
        resource_monitors: DRILLS.map((name) => ({
          name,
          typed_config: {
            '@type':
              'type.googleapis.com/envoy.extensions.resource_monitors.injected_resource.v3.InjectedResourceConfig',
            filename: join(folder.path, name),
          },
        })),
        actions: [
          { name: 'envoy.overload_actions.disable_http_keepalive', triggers: threshold('load', 0.5) },
          { name: 'envoy.overload_actions.stop_accepting_requests', triggers: scaled('load', 0.65, 0.75) },
          { name: 'envoy.overload_actions.shrink_heap', triggers: threshold('load', 0.99) },
          {
            name: 'envoy.overload_actions.reduce_timeouts',
            triggers: scaled('times', 0.5, 0.9),
            typed_config: {
              '@type': TIMERS,
              timer_scale_factors: [
                { timer: 'HTTP_DOWNSTREAM_CONNECTION_IDLE', min_timeout: '0.2s' },
                { timer: 'TRANSPORT_SOCKET_CONNECT', min_scale: { value: 1 } },
              ],
            },
          },
        ],
        loadshed_points: [
          shed('http_connection_manager_decode_headers', 'headers'),
          shed('hcm_ondata_creating_codec', 'bytes'),
          shed('tcp_listener_accept', 'accept'),
        ],
      },
      static_resources: {
        listeners: [
          listener(
            'main',
            manager([{ match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: 'ok' } } }], [], {
              // Envoy's way from idle to closed.
              drain_timeout: '0.1s',
              delayed_close_timeout: '0.1s',
            }),
          ),
        ],
        clusters: [],
      },
    };
    proxies.push(await startEnvoy(bootstrap, folder.path));
    for (const runtime of RUNTIMES) proxies.push(await startTulle(runtime, bootstrap, folder.path));
  });

  afterAll(async () => {
    for (const proxy of proxies) await proxy.stop();
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

  /** What the proxies say of themselves: every statistic of the overload manager. */
  const stats = async (proxy: RunningProxy): Promise<Record<string, number>> => {
    const { stats: all } = (await (
      await fetch(`http://127.0.0.1:${proxy.adminPort}/stats?format=json&filter=overload`)
    ).json()) as { stats: { name?: string; value?: number }[] };
    const ours = all.filter(({ name }) => name?.startsWith('overload.') && !name.endsWith('skipped_updates'));
    return Object.fromEntries(ours.map(({ name, value }) => [name!, value!]));
  };

  it('counts the same under the same names', async () => {
    for (const drill of DRILLS) press('0.7', drill);
    const wanted = (all: Record<string, number>) => DRILLS.every((drill) => all[`overload.${drill}.pressure`] === 70);
    for (const proxy of proxies) await until(`${proxy.name} has read it`, async () => wanted(await stats(proxy)));
    const [envoy, ...ours] = await Promise.all(proxies.map(stats));
    expect(envoy).toMatchObject({
      'overload.envoy.overload_actions.stop_accepting_requests.active': 0,
      'overload.envoy.overload_actions.stop_accepting_requests.scale_percent': 50,
    });
    for (const one of ours) expect(one).toEqual(envoy);
    for (const drill of DRILLS) press('0.1', drill);
    for (const proxy of proxies)
      await until(`${proxy.name} is at ease`, async () => (await stats(proxy))['overload.accept.pressure'] === 10);
  });

  /** When an idle connection is closed, milliseconds; the connection is made before `then`. */
  const idles = async (proxy: RunningProxy, then: () => void): Promise<number> => {
    const socket = net.connect({ host: '127.0.0.1', port: proxy.ports['main']! });
    socket.on('error', () => {});
    await new Promise(
      (resolve) => socket.once('data', resolve) && socket.write('GET / HTTP/1.1\r\nhost: main.test\r\n\r\n'),
    );
    const begun = performance.now();
    then();
    await new Promise((resolve) => socket.once('close', resolve));
    return performance.now() - begun;
  };

  it('ends connections that are idle already when times become short', async () => {
    // Of an hour nothing would be seen here: what the pressure leaves of it is a fifth of a second.
    await Promise.all(proxies.map((proxy) => idles(proxy, () => press('0.95', 'times'))));
    await Promise.all(proxies.map((proxy) => idles(proxy, () => {})));
    press('0.1', 'times');
  });

  it.each([
    ['headers', 'http_connection_manager_decode_headers', /^HTTP\/1.1 503 .*envoy overloaded$/],
    ['bytes', 'hcm_ondata_creating_codec', /^$/],
    ['accept', 'tcp_listener_accept', /^$/],
  ] as const)('refuses at the load shed point of %s', async (drill, point, wanted) => {
    press('0.95', drill);
    const shed = async (proxy: RunningProxy) =>
      (await stats(proxy))[`overload.envoy.load_shed_points.${point}.shed_load_count`]!;
    for (const proxy of proxies) await until(`${proxy.name} refuses`, async () => wanted.test(await ask(proxy)));
    const answers = await Promise.all(proxies.map(ask));
    expect(new Set(answers)).toEqual(new Set([answers[0]]));
    for (const proxy of proxies) {
      const before = await shed(proxy);
      await ask(proxy);
      expect(await shed(proxy)).toBe(before + 1);
    }
    press('0.1', drill);
    for (const proxy of proxies) await until(`${proxy.name} serves`, async () => /200 OK/.test(await ask(proxy)));
  });
});
