/** Compiled resources as a stock Envoy takes them from files: config sources are paths, and what only Istio's own build has is left out. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { TYPE_URLS } from '../../shared/xds/discovery.ts';

/** What Envoy subscribes to by name, each in a file of its own. */
export type NamedType = 'endpoints' | 'routes' | 'secrets';

type Fields = Record<string, unknown>;

const FOLDERS: Readonly<Record<NamedType, string>> = { endpoints: 'eds', routes: 'rds', secrets: 'sds' };

const isObject = (value: unknown): value is Fields => typeof value === 'object' && value !== null;

/** Where a resource is kept below `folder`; names are hashed, as they hold any characters. */
export function fileOf(folder: string, type: NamedType, name: string): string {
  return join(folder, FOLDERS[type], `${createHash('sha256').update(name).digest('hex').slice(0, 32)}.json`);
}

/** The text of a file: a DiscoveryResponse in JSON. */
export function responseOf(
  type: NamedType | 'listeners' | 'clusters',
  resources: readonly unknown[],
  version: string,
): string {
  const typed = resources.map((resource) => ({ '@type': TYPE_URLS[type], ...(resource as Fields) }));
  return `${JSON.stringify({ versionInfo: version, resources: typed })}\n`;
}

/**
 * A resource as Envoy takes it.
 * @param folder absolute path of the files
 * @throws Error naming the field of a config source that no file replaces
 */
export function forEnvoy(resource: unknown, folder: string): unknown {
  const name = isObject(resource) ? String(resource['name'] ?? '') : '';
  return rewritten(resource, { folder, cluster: name }, '');
}

interface Place {
  readonly folder: string;
  /** The name of the resource, by which a cluster's endpoints are known where it names no others. */
  readonly cluster: string;
}

function rewritten(value: unknown, place: Place, path: string): unknown {
  if (Array.isArray(value))
    return value.filter((item) => !isOfIstiosBuild(item)).map((item, at) => rewritten(item, place, `${path}[${at}]`));
  if (!isObject(value)) return value;
  const out: Fields = {};
  for (const [key, inner] of Object.entries(value)) out[key] = rewrittenField(key, inner, place, value, path);
  return out;
}

function rewrittenField(key: string, inner: unknown, place: Place, owner: Fields, path: string): unknown {
  const source = (type: NamedType, name: unknown) => ({
    pathConfigSource: { path: fileOf(place.folder, type, String(name)) },
    resourceApiVersion: 'V3',
  });
  if (key === 'sdsConfig') return source('secrets', owner['name']);
  if (key === 'configSource' && 'routeConfigName' in owner) return source('routes', owner['routeConfigName']);
  if (key === 'edsConfig') return source('endpoints', owner['serviceName'] || place.cluster);
  if (key === 'ads') throw new Error(`${path.slice(1)}: a config source that has no file`);
  return rewritten(inner, place, `${path}.${key}`);
}

/** Filters that only Istio's build has, which Envoy may leave out: statistics, and metadata of peers. */
const isOfIstiosBuild = (value: unknown): boolean =>
  isObject(value) && value['isOptional'] === true && String(value['name']).startsWith('istio.');
