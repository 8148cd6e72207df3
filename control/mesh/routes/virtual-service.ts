/**
 * VirtualService -> the route form (istio.io/latest/docs/reference/config/networking/virtual-service). Short names are
 * completed, gateways named in full, and the rules of delegates put in; a VirtualService without hosts is a delegate and
 * no form of its own.
 */
import type { ResourceOfKind } from '../../../shared/resources/registry.ts';
import type { HttpRoute } from '../../../shared/resources/schema/virtual-service.ts';
import { exportToOf } from '../export-to.ts';
import { namespaceOf } from '../fields.ts';
import type { MeshSettings } from '../view.ts';
import { delegateKeys, rulesWithDelegates } from './delegate.ts';
import { connectionRuleInFull, type NameScope } from './full-names.ts';
import { resolveGatewayName, resolveHost } from './names.ts';
import type { HttpRule, RouteForm, RouteOrigin } from './route-form.ts';
import type { RouteReader } from './route-reader.ts';

type VirtualService = ResourceOfKind<'VirtualService'>;

/** What a form was made of, to be made once. */
interface Known {
  readonly settings: MeshSettings;
  /** `namespace/name` of the VirtualServices that it delegates to. */
  readonly delegateKeys: readonly string[];
  readonly delegates: readonly (VirtualService | undefined)[];
  readonly form: RouteForm;
}

export const virtualServices: RouteReader = virtualServiceReader();

function virtualServiceReader(): RouteReader {
  const known = new WeakMap<VirtualService, Known>();
  return {
    kinds: ['VirtualService'],
    read(resources, settings) {
      const all = resources('VirtualService');
      let index: ReadonlyMap<string, VirtualService> | undefined;
      const find = (key: string) => {
        index ??= new Map(all.filter(isDelegate).map((vs) => [keyOf(vs), vs]));
        return index.get(key);
      };
      return all.flatMap((vs) => {
        if (isDelegate(vs)) return [];
        const before = known.get(vs);
        const keys = before?.delegateKeys ?? delegateKeys(vs);
        const delegates = keys.map(find);
        if (before?.settings === settings && delegates.every((found, i) => found === before.delegates[i]))
          return before.form;
        const form = formOf(vs, settings, find);
        known.set(vs, { settings, delegateKeys: keys, delegates, form });
        return form;
      });
    },
  };
}

const keyOf = (vs: VirtualService): string => `${namespaceOf(vs)}/${vs.metadata.name}`;
const isDelegate = ({ spec }: VirtualService): boolean => (spec?.hosts ?? []).length === 0;

/** The form of one VirtualService. `find` gives those without hosts by `namespace/name`. */
export function formOf(
  vs: VirtualService,
  { domainSuffix, config }: Pick<MeshSettings, 'domainSuffix' | 'config'>,
  find: (key: string) => VirtualService | undefined = () => undefined,
): RouteForm {
  const { hosts = [], gateways = [], exportTo = [], tcp = [], tls = [] } = vs.spec ?? {};
  const namespace = namespaceOf(vs);
  const scope: NameScope = { namespace, domainSuffix };
  const meshExportTo = config.defaultVirtualServiceExportTo;
  const withoutEffect: string[] = [];
  const note = (message: string) => void withoutEffect.push(message);
  const origin: RouteOrigin = {
    resource: vs,
    namespace,
    config: `/apis/networking.istio.io/v1/namespaces/${namespace}/virtual-service/${vs.metadata.name}`,
  };
  return {
    origin,
    precedence: 'istio',
    hosts: hosts.map((host) => resolveHost(host, namespace, domainSuffix)),
    gateways: gateways.length > 0 ? gateways.map((gateway) => resolveGatewayName(gateway, namespace)) : ['mesh'],
    exportTo: exportToOf(exportTo, meshExportTo),
    http: rulesWithDelegates(vs, { find, domainSuffix, meshExportTo, note }).map((rule) => httpRule(rule, origin)),
    tcp: tcp.map((rule) => connectionRuleInFull(rule, scope)),
    tls: tls.map((rule) => connectionRuleInFull(rule, scope)),
    withoutEffect,
  };
}

/** Annotation of VirtualServices that other tools made of an Ingress or a route of the Gateway API. */
const SEMANTICS = 'internal.istio.io/route-semantics';

function httpRule({ delegate, ...rule }: HttpRoute, origin: RouteOrigin): HttpRule {
  const semantics = origin.resource.metadata.annotations?.[SEMANTICS];
  return {
    ...rule,
    origin,
    ...((semantics === 'gateway' || semantics === 'ingress') && { wholeSegments: true }),
    ...(delegate && { violation: 'delegates only to VirtualServices that delegate no further' }),
  };
}
