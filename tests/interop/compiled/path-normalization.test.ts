/** MeshConfig.pathNormalization as `tulle compile` gives it: a DENY on /admin holds for every spelling, as in Envoy. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { RUNTIMES, temporaryFolder } from '../../kit/environment.ts';
import { ENVOY, startEnvoy } from '../../kit/envoy.ts';
import { type RunningProxy, startTulle } from '../../kit/proxy.ts';
import { type Echo, startEcho } from '../harness/echo.ts';
import { exchange } from '../harness/raw-client.ts';
import { authorityIn, type SvidFiles, svidFiles } from '../tls/svids.ts';
import { bootstrapOf, compile } from './compiled.ts';

const meta = { name: 'a', namespace: 'default' };
const resources = (normalization: string) => [
  {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'istio', namespace: 'istio-system' },
    data: { mesh: `pathNormalization: { normalization: ${normalization} }\n` },
  },
  {
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: meta,
    spec: {
      hosts: ['a.default.svc.cluster.local'],
      location: 'MESH_INTERNAL',
      resolution: 'STATIC',
      ports: [{ number: 8080, name: 'http', protocol: 'HTTP' }],
      workloadSelector: { labels: { app: 'a' } },
    },
  },
  {
    apiVersion: 'networking.istio.io/v1',
    kind: 'WorkloadEntry',
    metadata: meta,
    spec: { address: '10.10.0.10', serviceAccount: 'a', labels: { app: 'a' } },
  },
  {
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata: meta,
    spec: {
      selector: { matchLabels: { app: 'a' } },
      action: 'DENY',
      rules: [{ to: [{ operation: { paths: ['/admin', '/admin/*'] } }] }],
    },
  },
];
const NODE = {
  id: 'sidecar~10.10.0.10~a.default~default.svc.cluster.local',
  metadata: { NAMESPACE: 'default', SERVICE_ACCOUNT: 'a', LABELS: { app: 'a' }, INTERCEPTION_MODE: 'NONE' },
};

/** Spellings that are /admin, or below it, from this normalisation on. */
const DENIED: Readonly<Record<string, readonly string[]>> = {
  NONE: ['/admin', '/admin/', '/admin?a', '/admin/x'],
  BASE: ['/./admin', '/x/../admin', '/%61dmin', '/%2e/admin', '/x/%2e%2E/admin', '/\\..\\admin', '/admin\\x'],
  MERGE_SLASHES: ['//admin', '/x/..//admin', '/\\admin', 'http://x//admin', '///x/..//.//admin'],
  DECODE_AND_MERGE_SLASHES: [
    '/%2fadmin',
    '/x%2f..%2fadmin',
    '/admin%2fx',
    '/admin%5cx',
    '/admin%5Cx',
    '/%5c%2Fadmin',
    '/%2f%2e%2e%5cadmin',
  ],
};
const MODES = Object.keys(DENIED);
/** Never /admin; the last are refused by some rules. */
const OTHERS = [
  '/',
  '/administrator',
  '/x/admin',
  '/%2561dmin',
  '/admi%256e',
  '/admin%252fx',
  '/x%00/../admin',
  '/admin#x',
  '\\admin',
];
const SPELLINGS = [...Object.values(DENIED).flat(), ...OTHERS];

describe.skipIf(!ENVOY)('pathNormalization, in Envoy and in Tulle', () => {
  const folder = temporaryFolder();
  const bootstraps = new Map<string, object>();
  const expected = new Map<string, string[]>();
  let echo: Echo;

  /** What compile gives for a mode, on a port of the kernel's and with the echo as application. */
  const bootstrapFor = (mode: string, own: SvidFiles): object => {
    const file = join(folder.path, `${mode}.yaml`);
    writeFileSync(
      file,
      resources(mode)
        .map((one) => stringify(one))
        .join('---\n'),
    );
    const whole = bootstrapOf(compile([file], NODE, folder.path), own);
    const { listeners, clusters, secrets } = whole.staticResources;
    const inbound = JSON.stringify(listeners.filter((one) => (one as { name: string }).name === '10.10.0.10_8080'));
    const bound = inbound.replaceAll('"address":"10.10.0.10","portValue":8080', '"address":"127.0.0.1","portValue":0');
    const app = JSON.stringify(clusters).replaceAll('"portValue":8080', `"portValue":${echo.port}`);
    return { ...whole, staticResources: { listeners: JSON.parse(bound), clusters: JSON.parse(app), secrets } };
  };

  /** Of each spelling, the status and the target that the application saw. */
  const answers = async ({ ports }: RunningProxy): Promise<string[]> => {
    const out: string[] = [];
    for (const spelling of SPELLINGS) {
      const bytes = `GET ${spelling} HTTP/1.1\r\nHost: x\r\n\r\n`;
      const { responses } = await exchange(ports['10.10.0.10_8080']!, bytes, ['GET']);
      const { status, body } = responses[0]!;
      out.push(`${spelling} ${status} ${status === 200 ? (JSON.parse(body) as { target: string }).target : ''}`);
    }
    return out;
  };
  const run = async (start: () => Promise<RunningProxy>): Promise<string[]> => {
    const proxy = await start();
    try {
      return await answers(proxy);
    } finally {
      await proxy.stop();
    }
  };

  beforeAll(async () => {
    echo = await startEcho('a');
    const own = await svidFiles(await authorityIn(`${folder.path}/ca`), folder.path, 'a');
    for (const mode of MODES) {
      const bootstrap = bootstrapFor(mode, own);
      bootstraps.set(mode, bootstrap);
      expected.set(mode, await run(() => startEnvoy(bootstrap, folder.path, `envoy-${mode}`)));
    }
  });
  afterAll(() => {
    echo.stop();
    folder.dispose();
  });

  it.each(MODES.map((mode, i) => [mode, MODES.slice(0, i + 1)] as const))(
    '%s: Envoy denies all spellings that it makes /admin, and no other path',
    (mode, upTo) => {
      const denied = expected.get(mode)!.filter((line) => / 403 $/.test(line));
      expect(denied.map((line) => line.split(' ')[0])).toEqual(upTo.flatMap((one) => DENIED[one]!));
    },
  );

  it.each(RUNTIMES.flatMap((runtime) => MODES.map((mode) => [runtime, mode] as const)))(
    'Tulle on %s, %s: the same answers and targets',
    async (runtime, mode) => {
      expect(await run(() => startTulle(runtime, bootstraps.get(mode)!, folder.path))).toEqual(expected.get(mode));
    },
  );
});
