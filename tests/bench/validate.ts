/** How long `tulle validate` takes for a thousand resources, cold: with a new process each time. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { runSync } from '../kit/process.ts';

export interface ValidateResult {
  readonly resources: number;
  readonly runs: number;
  /** Wall time of the quickest run: the machine's speed without other load. */
  readonly bestMs: number;
  readonly medianMs: number;
  readonly limitMs: number;
  readonly met: boolean;
}

/** A thousand in under 1.5 s on Node 24, cold start included. */
const LIMIT_MS = 1500;
const TULLE = fileURLToPath(new URL('../../control/cli/bin.mjs', import.meta.url));

/** @throws Error when a resource is found faulty, so that not a refusal is measured */
export function measureValidate(folder: string, runs: number): ValidateResult {
  const file = join(folder, 'thousand.yaml');
  const resources = thousand();
  writeFileSync(file, resources.map((resource) => stringify(resource)).join('---\n'));
  const times = Array.from({ length: runs }, () => {
    const begun = performance.now();
    const { code, out, error } = runSync(process.execPath, [TULLE, 'validate', '-f', file]);
    if (code !== 0) throw new Error(`tulle validate: ${out.split('\n').at(-2)} ${error}`);
    return performance.now() - begun;
  }).sort((a, b) => a - b);
  const bestMs = Math.round(times[0] ?? Number.NaN);
  const medianMs = Math.round(times[Math.floor(times.length / 2)] ?? Number.NaN);
  return { resources: resources.length, runs, bestMs, medianMs, limitMs: LIMIT_MS, met: bestMs < LIMIT_MS };
}

export function validateLine({ resources, runs, bestMs, medianMs, limitMs, met }: ValidateResult): string {
  const verdict = met ? 'met' : 'MISSED';
  return `\nvalidate: ${resources} resources, cold: best ${bestMs} ms, median ${medianMs} ms of ${runs}; aim ${limitMs} ms ${verdict}`;
}

/** What a mesh of two hundred services has, kinds mixed. */
function thousand(): object[] {
  return Array.from({ length: 200 }, (_, i) => serviceOf(`app-${i}`)).flat();
}

function serviceOf(name: string): object[] {
  const resource = (apiVersion: string, kind: string, spec: object) => ({ apiVersion, kind, metadata: { name }, spec });
  const subset = (version: string) => ({ name: version, labels: { version } });
  const destination = (version: string, weight: number) => ({ destination: { host: name, subset: version }, weight });
  return [
    resource('v1', 'Service', { selector: { app: name }, ports: [{ name: 'http', port: 80, targetPort: 8080 }] }),
    resource('networking.istio.io/v1', 'VirtualService', {
      hosts: [`${name}.default.svc.cluster.local`],
      http: [
        { match: [{ uri: { regex: '/api/v[0-9]+/.*' } }], route: [destination('v2', 100)], timeout: '3s' },
        { route: [destination('v1', 90), destination('v2', 10)], retries: { attempts: 3, retryOn: '5xx' } },
      ],
    }),
    resource('networking.istio.io/v1', 'DestinationRule', {
      host: name,
      trafficPolicy: { outlierDetection: { baseEjectionTime: '30s' }, loadBalancer: { simple: 'LEAST_REQUEST' } },
      subsets: [subset('v1'), subset('v2')],
    }),
    resource('security.istio.io/v1', 'AuthorizationPolicy', {
      selector: { matchLabels: { app: name } },
      rules: [
        {
          from: [{ source: { principals: ['cluster.local/ns/default/sa/web'] } }],
          to: [{ operation: { methods: ['GET'], paths: ['/api/*'] } }],
        },
      ],
    }),
    resource('networking.istio.io/v1', 'WorkloadEntry', { address: '10.0.0.1', labels: { app: name }, weight: 2 }),
  ];
}
