/** `tulle compile` output as a bootstrap that needs no control plane. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tulleCommand } from '../../kit/command.ts';
import { outputOf } from '../../kit/process.ts';
import type { SvidFiles } from '../tls/svids.ts';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type Fields = { [key: string]: Json };
interface Snapshot {
  listeners: Fields[];
  routes: Fields[];
  clusters: Fields[];
  endpoints: Fields[];
  secrets: Fields[];
}

/** Runs `tulle compile`. @param files resources @param node the xDS node */
export function compile(files: readonly string[], node: object, folder: string): Snapshot {
  const nodeFile = join(folder, 'node.json');
  writeFileSync(nodeFile, JSON.stringify(node));
  const args = ['compile', ...files.flatMap((file) => ['-f', file]), '--node', nodeFile, '-o', 'json'];
  const [program, ...command] = tulleCommand(...args);
  return JSON.parse(outputOf(program, command));
}

/** Every ADS source replaced by what it would have brought: routes and endpoints inline, secrets from files. */
export function bootstrapOf(snapshot: Snapshot, own: SvidFiles) {
  const routes = new Map(snapshot.routes.map((route) => [route['name'], route]));
  const brought: Brought = {
    routes,
    own,
    secrets: new Map(snapshot.secrets.map((secret) => [secret['name'], secret])),
  };
  const endpoints = new Map(snapshot.endpoints.map((one) => [one['clusterName'], one]));
  const listeners = snapshot.listeners.map((one) => inline(one, brought));
  const clusters = snapshot.clusters.map((one): Json => {
    const { edsClusterConfig, ...rest } = inline(one, brought) as Fields;
    if (rest['type'] !== 'EDS') return rest;
    const service = (edsClusterConfig as Fields | undefined)?.['serviceName'] ?? rest['name']!;
    return { ...rest, type: 'STATIC', loadAssignment: endpoints.get(service) ?? { clusterName: service } };
  });
  return {
    node: { id: 'compiled', cluster: 'compiled' },
    admin: { address: { socketAddress: { address: '127.0.0.1', portValue: 0 } } },
    staticResources: { listeners, clusters, secrets: snapshot.secrets },
  };
}

/** What discovery would have brought, by name. */
interface Brought {
  readonly routes: ReadonlyMap<Json | undefined, Fields>;
  readonly secrets: ReadonlyMap<Json | undefined, Fields>;
  readonly own: SvidFiles;
}

function inline(value: Json, brought: Brought): Json {
  const { routes, secrets, own } = brought;
  if (Array.isArray(value)) return value.map((item) => inline(item, brought));
  if (typeof value !== 'object' || value === null) return value;
  const out: Fields = {};
  for (const [key, inner] of Object.entries(value)) {
    if (key === 'rds') {
      // A name that nothing brings would be an empty 404 in disguise.
      const route = routes.get((inner as Fields)['routeConfigName']);
      if (!route) throw new Error(`no route configuration "${(inner as Fields)['routeConfigName']}"`);
      // Static tables may name clusters that come later only when configured.
      out['routeConfig'] = { ...route, validateClusters: false };
    } else if (key === 'tlsCertificateSdsSecretConfigs' && isOwn(inner, 'default')) {
      out['tlsCertificates'] = [{ certificateChain: { filename: own.cert }, privateKey: { filename: own.key } }];
    } else if (key === 'tlsCertificateSdsSecretConfigs' && Array.isArray(inner)) {
      out['tlsCertificates'] = inner.map((one) => secretOf(secrets, one)['tlsCertificate']!);
    } else if (key === 'combinedValidationContext') {
      const { defaultValidationContext, validationContextSdsSecretConfig: named } = inner as Fields;
      const roots: Fields =
        (named as Fields)['name'] === 'ROOTCA'
          ? { trustedCa: { filename: own.roots } }
          : (secretOf(secrets, named!)['validationContext'] as Fields);
      out['validationContext'] = { ...(defaultValidationContext as Fields), ...roots };
    } else out[key] = inline(inner, brought);
  }
  return out;
}

function isOwn(value: Json, name: string): boolean {
  return Array.isArray(value) && value.some((one) => (one as Fields)['name'] === name);
}

function secretOf(secrets: Brought['secrets'], config: Json): Fields {
  const name = (config as Fields)['name'];
  const secret = secrets.get(name);
  if (!secret) throw new Error(`no secret "${name}"`);
  return secret;
}
