/**
 * What names an alias (a Service of type ExternalName, see `service-aliases.ts`) where istiod looks for a service: an alias has no
 * clusters of its own, so a route has no destination there and a DestinationRule no service.
 */
import type { ResourceOfKind } from '../../../shared/resources/registry.ts';
import type { Resource } from '../../../shared/resources/resource.ts';
import { namespaceOf, specOf } from '../../mesh/fields.ts';
import { resolveHost } from '../../mesh/routes/names.ts';
import type { HttpRule, RouteForm, TcpRule, TlsRule } from '../../mesh/routes/route-form.ts';
import type { MeshService } from '../../mesh/view.ts';
import { generator } from '../memo.ts';
import type { Finding } from '../output/finding.ts';
import { aliasTargets } from './service-aliases.ts';

export interface AliasUses {
  readonly services: readonly MeshService[];
  readonly forms: readonly RouteForm[];
  readonly rules: readonly ResourceOfKind<'DestinationRule'>[];
  readonly domainSuffix: string;
}

type Aliases = ReadonlyMap<string, string>;

const NONE: readonly Finding[] = Object.freeze([]);

const aliasesOf = generator<{ services: readonly MeshService[] }, Aliases>({ services: true }, ({ services }) =>
  aliasTargets(services),
);

/** The same findings for the same services, routes and rules. */
export const aliasFindings = generator<AliasUses, readonly Finding[]>(
  { services: true, forms: true, rules: true, domainSuffix: true },
  ({ services, forms, rules, domainSuffix }) => {
    const aliases = aliasesOf({ services });
    if (aliases.size === 0) return NONE;
    return [
      ...forms.flatMap((form) => ofForm({ form, aliases })),
      ...rules.flatMap((rule) => ofRule({ rule, aliases, domainSuffix })),
    ];
  },
);

const ofForm = generator<{ form: RouteForm; aliases: Aliases }, readonly Finding[]>(
  { form: true, aliases: true },
  ({ form: { origin, http, tcp, tls }, aliases }) => [
    ...http.flatMap((rule) => ofHosts(rule.origin.resource, 'http', httpHosts(rule), aliases)),
    ...tcp.flatMap((rule) => ofHosts(origin.resource, 'tcp', hostsOf(rule), aliases)),
    ...tls.flatMap((rule) => ofHosts(origin.resource, 'tls', hostsOf(rule), aliases)),
  ],
);

function ofHosts(about: Resource, section: string, hosts: readonly string[], aliases: Aliases): Finding[] {
  return hosts.flatMap((host): Finding[] => {
    const target = aliases.get(host);
    if (target === undefined) return [];
    const message = `spec.${section}: destination host "${host}" is an alias of ${target} and, as in Istio, no destination: name ${target}`;
    return [{ about, reason: 'RuleWithoutEffect', message }];
  });
}

const hostsOf = ({ route = [] }: Pick<TcpRule | TlsRule, 'route'>): string[] =>
  route.flatMap(({ destination }) => destination?.host ?? []);

const httpHosts = ({ route = [], mirror, mirrors = [] }: HttpRule): string[] =>
  [...route.map(({ destination }) => destination), mirror, ...mirrors.map(({ destination }) => destination)].flatMap(
    (destination) => destination?.host ?? [],
  );

const ofRule = generator<
  { rule: ResourceOfKind<'DestinationRule'>; aliases: Aliases; domainSuffix: string },
  readonly Finding[]
>({ rule: true, aliases: true, domainSuffix: true }, ({ rule, aliases, domainSuffix }) => {
  const target = aliases.get(resolveHost(specOf(rule).host ?? '', namespaceOf(rule), domainSuffix));
  if (target === undefined) return NONE;
  const message = `spec.host: is an alias of ${target}, whose rules hold for it: name ${target}`;
  return [{ about: rule, reason: 'RuleWithoutEffect', message }];
});
