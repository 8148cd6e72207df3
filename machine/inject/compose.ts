/**
 * Sidecars in a Compose file (compose-spec.io). The sidecar has the network namespace: what concerns the network moves to it, and
 * the application joins it once it is healthy.
 */
import { type Document, isMap, isScalar, isSeq, parseDocument, type YAMLMap, type YAMLSeq } from 'yaml';
import {
  CAPABILITIES,
  chosen,
  EXPLICIT_ENVIRONMENT,
  FOLDERS,
  InjectError,
  type InjectOptions,
  READY_COMMAND,
  sidecarArguments,
} from './sidecar.ts';

const SUFFIX = '-tulle';
/** Ends of the names of volumes, of each folder one. */
const VOLUMES = ['-config', ''] as const;
/** Fields of a service that belong to its network namespace. */
const OF_THE_NETWORK = [
  'ports',
  'expose',
  'networks',
  'hostname',
  'domainname',
  'dns',
  'dns_search',
  'dns_opt',
  'extra_hosts',
  'mac_address',
  'sysctls',
];

/**
 * @param text a Compose file; comments and order are kept
 * @returns the file with sidecars; the same text where all services have theirs
 * @throws InjectError naming the field
 */
export function injectCompose(text: string, options: InjectOptions): string {
  const document = parseDocument(text);
  const problem = document.errors[0];
  if (problem) throw new InjectError(`not YAML: ${problem.message.split('\n')[0]}`);
  const services = document.get('services');
  if (!isMap(services)) throw new InjectError('services: must be a map of services (a Compose file)');
  const names = keysOf(services).filter((name) => !isSidecar(services, name));
  const wanted = chosen(names, options.only, 'service');
  const without = names.filter((name) => wanted.has(name) && !hasSidecar(services, name));
  if (without.length === 0) return text;
  for (const name of without) inject(document, services, name, options);
  return document.toString({ lineWidth: 0, flowCollectionPadding: false });
}

const keysOf = (map: YAMLMap): string[] => map.items.map(({ key }) => String(isScalar(key) ? key.value : key));

const hasSidecar = (services: YAMLMap, name: string): boolean =>
  services.getIn([name, 'network_mode']) === `service:${name}${SUFFIX}` && services.has(name + SUFFIX);

const isSidecar = (services: YAMLMap, name: string): boolean =>
  name.endsWith(SUFFIX) && hasSidecar(services, name.slice(0, -SUFFIX.length));

function inject(document: Document, services: YAMLMap, name: string, options: InjectOptions): void {
  const service = services.get(name);
  if (!isMap(service)) throw new InjectError(`services.${name}: must be a map`);
  if (service.has('network_mode'))
    throw new InjectError(
      `services.${name}.network_mode: the sidecar must own the network namespace; remove it, or name other services with --only`,
    );
  const sidecar = name + SUFFIX;
  if (services.has(sidecar))
    throw new InjectError(`services.${sidecar}: the name is taken; the sidecar of "${name}" needs it`);
  const body = document.createNode(bodyOf(sidecar, options)) as YAMLMap;
  for (const field of OF_THE_NETWORK) {
    const pair = service.items.find(({ key }) => isScalar(key) && key.value === field);
    if (!pair) continue;
    service.items.splice(service.items.indexOf(pair), 1);
    body.items.push(pair as (typeof body.items)[number]);
  }
  keepName(document, body, name);
  service.set('network_mode', `service:${sidecar}`);
  waitFor(document, service, sidecar);
  if (!options.capture) addEnvironment(document, service, name);
  const at = services.items.findIndex(({ key }) => isScalar(key) && key.value === name);
  services.items.splice(at, 0, document.createPair(sidecar, body));
  document.setIn(['secrets', sidecar], document.createNode({ file: `./${name}.invitation` }));
  for (const end of VOLUMES) document.setIn(['volumes', sidecar + end], document.createNode({}));
}

function bodyOf(sidecar: string, options: InjectOptions) {
  return {
    image: options.image,
    command: sidecarArguments(`/run/secrets/${sidecar}`, options),
    cap_drop: ['ALL'],
    ...(options.capture ? { user: '0', cap_add: [...CAPABILITIES] } : {}),
    security_opt: ['no-new-privileges:true'],
    read_only: true,
    tmpfs: ['/tmp'],
    volumes: FOLDERS.map((folder, i) => `${sidecar}${VOLUMES[i]}:${folder}`),
    secrets: [sidecar],
    healthcheck: { test: ['CMD', ...READY_COMMAND], interval: '2s', timeout: '5s', retries: 30 },
    restart: 'unless-stopped',
  };
}

/** Other containers find the service by its name still. */
function keepName(document: Document, sidecar: YAMLMap, name: string): void {
  const networks = sidecar.get('networks');
  const names = isSeq(networks)
    ? networks.items.map((item) => String(isScalar(item) ? item.value : item))
    : ['default'];
  if (!isMap(networks)) sidecar.set('networks', document.createNode(Object.fromEntries(names.map((one) => [one, {}]))));
  const map = sidecar.get('networks') as YAMLMap;
  for (const network of keysOf(map)) {
    if (!isMap(map.get(network))) map.set(network, document.createNode({}));
    const aliases = map.getIn([network, 'aliases']);
    if (isSeq(aliases)) (aliases as YAMLSeq).add(name);
    else map.setIn([network, 'aliases'], document.createNode([name]));
  }
}

/** `depends_on` in its short form becomes the long one. */
function waitFor(document: Document, service: YAMLMap, sidecar: string): void {
  const before = service.get('depends_on');
  if (isSeq(before)) {
    const names = before.items.map((item) => String(isScalar(item) ? item.value : item));
    service.set(
      'depends_on',
      document.createNode(Object.fromEntries(names.map((one) => [one, { condition: 'service_started' }]))),
    );
  }
  service.setIn(['depends_on', sidecar], document.createNode({ condition: 'service_healthy', restart: true }));
}

function addEnvironment(document: Document, service: YAMLMap, name: string): void {
  const given = service.get('environment');
  if (isSeq(given)) {
    const has = (key: string) =>
      given.items.some((item) => String(isScalar(item) ? item.value : item).startsWith(`${key}=`));
    for (const [key, value] of Object.entries(EXPLICIT_ENVIRONMENT)) {
      if (has(key)) throw new InjectError(`services.${name}.environment: has ${key}; remove it`);
      given.add(document.createNode(`${key}=${value}`));
    }
    return;
  }
  for (const [key, value] of Object.entries(EXPLICIT_ENVIRONMENT)) {
    if (service.hasIn(['environment', key])) throw new InjectError(`services.${name}.environment.${key}: remove it`);
    service.setIn(['environment', key], value);
  }
}
