/** A patch of an EnvoyFilter as the patch stage runs it, for one kind of proxy. */
import type { ResourceType, XdsResource } from '../../../shared/xds/discovery.ts';
import { strictJson } from '../../envoy-api/strict-json.ts';
import { generator } from '../memo.ts';
import type { Finding } from '../output/finding.ts';
import type { Origin } from '../output/produced.ts';
import { type Added, type Change, type Patch, schemaViolation } from '../patches/patch.ts';
import { type ConfigPatch, MESSAGES } from './config-patch.ts';
import { fieldsOf } from './match-resource.ts';
import { type Fields, isFields } from './merge.ts';
import {
  addsFilter,
  holdsFilter,
  mayBeLeftOut,
  type ProxyKind,
  refusing,
  unsupportedFilter,
} from './missing-filter.ts';
import { addedBy, type PatchedType, patchedResource, typesOf } from './phases.ts';

interface Given {
  readonly patch: ConfigPatch;
  /** The EXTENSION_CONFIG that the filter of the patch names; undefined: it names none, or there is none. */
  readonly extension: ConfigPatch | undefined;
  readonly kind: ProxyKind;
}

/** The same object for the same patch, as long as the EnvoyFilter stays. */
export const compiledPatch = generator<Given, Patch>({ patch: true, extension: true, kind: true }, (given) => {
  const { patch, note } = runnable(withExtension(given.patch, given.extension), given.kind);
  const findings = note === undefined ? [] : [findingOf(given.patch, note)];
  if (!patch) return { owner: given.patch.owner, change: {}, findings };
  const check = CHECKS[given.kind];
  const change = Object.fromEntries(typesOf(patch).map((type) => [type, changeOf(patch, type, given.kind, check)]));
  return { owner: patch.owner, change, findings, adds: additions(patch, check), check };
});

type Check = (type: ResourceType, resource: XdsResource[ResourceType]) => string | undefined;

/** Tulle's proxies take what their schemas describe, Envoy what its API has. */
const CHECKS: { readonly [K in ProxyKind]: Check } = {
  tulle: schemaViolation,
  envoy(type, resource) {
    try {
      const message =
        type === 'clusters'
          ? MESSAGES.CLUSTER
          : type === 'listeners'
            ? MESSAGES.LISTENER
            : MESSAGES.ROUTE_CONFIGURATION;
      strictJson(message, resource);
      return undefined;
    } catch (error) {
      return (error as Error).message;
    }
  },
};

function findingOf({ owner, path }: ConfigPatch, note: Note): Finding {
  return { about: owner, reason: note.reason, message: `${path}.patch.value: ${note.message}` };
}

interface Note {
  readonly reason: 'PatchLeftOut' | 'FilterMissing';
  readonly message: string;
}

interface Runnable {
  /** undefined: it is left out. */
  readonly patch: ConfigPatch | undefined;
  readonly note?: Note;
}

const REFUSED = { HTTP_FILTER: 'its requests are refused', NETWORK_FILTER: 'its connections are closed' };

/** The patch as the kind of proxy can run it. */
function runnable(patch: ConfigPatch, kind: ProxyKind): Runnable {
  if (!addsFilter(patch)) return { patch };
  const reason = whyNot(patch, kind);
  if (reason === undefined) return { patch };
  if (mayBeLeftOut(patch))
    return { patch: undefined, note: { reason: 'PatchLeftOut', message: `${reason}: the filter is left out` } };
  const refused = REFUSED[patch.applyTo as keyof typeof REFUSED];
  return {
    patch: refusingPatch(patch, reason, kind),
    note: { reason: 'FilterMissing', message: `${reason}: ${refused}` },
  };
}

/** Why the kind of proxy cannot run the filter of a patch; undefined: it can. */
function whyNot(patch: ConfigPatch, kind: ProxyKind): string | undefined {
  if (patch.unreadable !== undefined) return patch.unreadable;
  if (isFields(patch.value['configDiscovery']))
    return `configDiscovery: no EXTENSION_CONFIG has the name "${nameOf(patch)}"`;
  return kind === 'tulle' ? unsupportedFilter(patch) : undefined;
}

const nameOf = ({ value, match }: ConfigPatch): string =>
  String(
    value['name'] ??
      match.listener?.filterChain?.filter?.subFilter?.name ??
      match.listener?.filterChain?.filter?.name ??
      '',
  );

function refusingPatch(patch: ConfigPatch, reason: string, kind: ProxyKind): ConfigPatch {
  const config = refusing(patch.applyTo, nameOf(patch), reason, kind);
  if (!addsFilter(patch)) return { ...patch, replacement: config };
  return { ...patch, value: { name: patch.value['name'], typedConfig: config } };
}

function withExtension(patch: ConfigPatch, extension: ConfigPatch | undefined): ConfigPatch {
  if (!extension) return patch;
  const { configDiscovery: _, ...value } = patch.value;
  return { ...patch, value: { ...value, typedConfig: fieldsOf(extension.value['typedConfig']) } };
}

function changeOf(patch: ConfigPatch, type: PatchedType, kind: ProxyKind, check: Check): Change<PatchedType> {
  return ((resource: Fields, origin: Origin) => {
    const place = { type, origin, hosts: origin.hosts ?? [] };
    const next = patchedResource(resource, patch, place);
    if (next === undefined || next === resource) return next;
    const problem = orderProblem(next) ?? check(type, next as never);
    if (problem === undefined) return next;
    // A filter that is changed to something else than the proxy can run refuses all; the connection manager stays as it is.
    if (!holdsFilter(patch) || isManager(patch)) throw new Error(`${patch.path}: ${problem}`);
    const refused = patchedResource(resource, refusingPatch(patch, problem, kind), place);
    const left = refused && (orderProblem(refused) ?? check(type, refused as never));
    if (left) throw new Error(`${patch.path}: ${left}`);
    return refused;
  }) as unknown as Change<PatchedType>;
}

const isManager = ({ applyTo, match }: ConfigPatch): boolean =>
  applyTo === 'NETWORK_FILTER' && (match.listener?.filterChain?.filter?.name ?? '').endsWith('http_connection_manager');

/** Chains have filters; of connection managers, the last filter is the router and no other. */
function orderProblem(listener: Fields): string | undefined {
  const chains = listIn(listener, 'filterChains');
  const empty = chains.findIndex((chain) => listIn(chain, 'filters').length === 0);
  if (empty >= 0) return `filterChains[${empty}].filters: must not be empty`;
  for (const chain of [...chains, fieldsOf(listener['defaultFilterChain'])])
    for (const filter of listIn(chain, 'filters')) {
      const types = listIn(fieldsOf(filter['typedConfig']), 'httpFilters').map((one) =>
        String(fieldsOf(one['typedConfig'])['@type'] ?? ''),
      );
      const at = types.findIndex((type) => type.endsWith('.http.router.v3.Router'));
      if (types.length > 0 && at !== types.length - 1)
        return 'the router must be the last HTTP filter: insert others before envoy.filters.http.router';
    }
  return undefined;
}

const listIn = (message: Fields, field: string): readonly Fields[] => {
  const value = message[field];
  return Array.isArray(value) ? value.filter(isFields) : [];
};

function additions(patch: ConfigPatch, check: Check): readonly Added[] {
  return (['inbound', 'outbound', 'gateway'] as const).flatMap((side) =>
    (['clusters', 'listeners'] as const).flatMap((type): Added[] => {
      const resource = addedBy(patch, type, side);
      if (!resource) return [];
      const problem = check(type, resource as never);
      return [{ type, side, resource: resource as never, path: patch.path, problem }];
    }),
  );
}
