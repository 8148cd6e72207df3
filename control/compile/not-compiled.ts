/** What is accepted and stored, and has no translation yet: said wherever a user would otherwise take it for granted. */
import type { Fault, Resource } from '../../shared/resources/resource.ts';
import { type Fields, objects, specOf } from '../mesh/fields.ts';
import { protocolOf } from '../mesh/protocol.ts';
import type { CompileContext } from './context.ts';
import { namesClaims } from './virtual-service-match.ts';

const KINDS: ReadonlySet<string> = new Set([
  'RequestAuthentication',
  'EnvoyFilter',
  'Telemetry',
  'WasmPlugin',
  'ProxyConfig',
  'TrafficExtension',
]);
const RULE = 'not-compiled';
const of = (path: string, message: string): Fault => ({ path, message, rule: RULE });

/** The parts of a resource that will have no effect, or another one than in Istio; each with its path. */
export function notCompiled(resource: Resource): Fault[] {
  const spec = specOf(resource);
  if (KINDS.has(resource.kind)) {
    const whole = of('', `${resource.kind} is not compiled yet: it has no effect`);
    return resource.kind === 'ProxyConfig' ? [whole, ...concurrency(spec)] : [whole];
  }
  switch (resource.kind) {
    case 'VirtualService':
      return claims(spec);
    case 'Sidecar':
      return egressListeners(spec);
    case 'ServiceEntry':
    case 'Service':
      return undeclaredPorts(resource.kind, spec);
    default:
      return [];
  }
}

/** What does have a way of its own is named. */
function concurrency(spec: Fields): Fault[] {
  if (spec['concurrency'] === undefined) return [];
  return [of('spec.concurrency', 'give the proxy --concurrency N (TULLE_CONCURRENCY) when it starts')];
}

function claims(spec: Fields): Fault[] {
  return objects(spec['http']).flatMap((rule, i) =>
    objects(rule['match']).flatMap((match, j) =>
      namesClaims(match)
        ? [of(`spec.http[${i}].match[${j}]`, 'matches on JWT claims are not compiled yet: it never matches')]
        : [],
    ),
  );
}

function egressListeners(spec: Fields): Fault[] {
  return objects(spec['egress']).flatMap((item, i) => {
    const named = ['port', 'bind', 'captureMode'].filter((field) => item[field] !== undefined);
    if (named.length === 0) return [];
    const message =
      'egress listeners of their own are not compiled yet: its hosts are reached at the ports of their services';
    return [of(`spec.egress[${i}].${named[0]}`, message)];
  });
}

function undeclaredPorts(kind: string, spec: Fields): Fault[] {
  return objects(spec['ports']).flatMap((port, i) => {
    const declared = kind === 'Service' ? port['appProtocol'] : port['protocol'];
    if (kind === 'Service' && port['protocol'] === 'UDP') return [];
    if (protocolOf(text(declared), text(port['name'])) !== 'UNSUPPORTED') return [];
    const way = kind === 'Service' ? 'name it http-… or set appProtocol' : 'set protocol';
    return [
      of(`spec.ports[${i}]`, `no protocol is declared, calls to it are passed on as TCP: ${way} to have HTTP routed`),
    ];
  });
}

const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);

/** Of what concerns this proxy, a sentence each. */
export function noteNotCompiled(ctx: CompileContext): void {
  const { view, proxy, scope } = ctx;
  const own = new Set([proxy.namespace, view.settings.rootNamespace]);
  const resources = [
    ...[...KINDS].flatMap((kind) => view.resources(kind)),
    ...view.resources('Sidecar').filter(({ metadata }) => own.has(metadata.namespace ?? 'default')),
    ...scope.virtualServices,
    ...scope.services.map(({ resource }) => resource),
  ];
  for (const resource of resources)
    for (const { path, message } of notCompiled(resource)) {
      const { namespace = 'default', name } = resource.metadata;
      ctx.note(`${resource.kind} ${namespace}/${name}${path === '' ? '' : `: ${path}`}: ${message}`);
    }
}
