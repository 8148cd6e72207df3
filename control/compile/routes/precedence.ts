/**
 * Route forms that are joined where they name one host, as the Gateway API orders their rules
 * (gateway-api.sigs.k8s.io, HTTPRouteRule.matches and HTTPRouteSpec.hostnames). Forms with the precedence of Istio stay as they are.
 */
import type { HttpRule, RouteForm, RouteOrigin } from '../../mesh/routes/route-form.ts';
import { compare } from '../../mesh/sorted-list.ts';
import { generator, sharedList } from '../memo.ts';
import { hostCovers, moreSpecific } from '../names.ts';

const isJoined = ({ precedence }: RouteForm): boolean => precedence === 'gateway-api';

/**
 * The forms that have a rule for `host`, those that are joined as one in the place of the first of them.
 * @param forms each has a host that covers `host`
 */
export function joinedFor(forms: readonly RouteForm[], host: string): readonly RouteForm[] {
  const members = forms.filter(isJoined);
  if (members.length === 0) return forms;
  const whole = joined({ forms: sharedList(members), host });
  return forms.flatMap((form) => (!isJoined(form) ? form : form === members[0] ? whole : []));
}

/** The forms with one form for each host in the place of those that are joined there. */
export function joinedByHost(forms: readonly RouteForm[]): readonly RouteForm[] {
  const members = new Map<string, RouteForm[]>();
  for (const form of forms)
    if (isJoined(form)) for (const host of new Set(form.hosts)) members.set(host, [...(members.get(host) ?? []), form]);
  if (members.size === 0) return forms;
  return forms.flatMap((form) =>
    isJoined(form)
      ? [...new Set(form.hosts)].flatMap((host) => {
          const all = withoutOverridden(members.get(host) ?? []);
          return all[0] === form ? joined({ forms: sharedList(all), host }) : [];
        })
      : form,
  );
}

/**
 * Routes of the clients' own namespace, which no other sees, override those of the service's (gateway-api.sigs.k8s.io/geps/gep-1426,
 * consumer and producer routes).
 */
function withoutOverridden(forms: readonly RouteForm[]): readonly RouteForm[] {
  const ofClients = forms.filter(({ exportTo }) => exportTo.every((namespace) => namespace === '.'));
  return ofClients.length > 0 ? ofClients : forms;
}

interface Ranked {
  readonly rule: HttpRule;
  /** The host that the form of the rule names. */
  readonly host: string;
  readonly rank: readonly number[];
}

/** One form with the http rules of all. */
const joined = generator<{ forms: readonly RouteForm[]; host: string }, RouteForm>(
  { forms: true, host: true },
  ({ forms, host }) => {
    const oldestFirst = [...forms].sort((a, b) => byAgeThenPath(a.origin, b.origin));
    const ranked = oldestFirst.flatMap((form): Ranked[] => {
      const written = form.hosts.filter((one) => hostCovers(one, host)).sort(moreSpecific)[0] ?? host;
      return form.http.map((rule) => ({ rule, host: written, rank: rankOf(rule) }));
    });
    ranked.sort((a, b) => moreSpecific(a.host, b.host) || compareRanks(b.rank, a.rank));
    const [oldest] = oldestFirst as [RouteForm];
    return { ...oldest, hosts: [host], http: ranked.map(({ rule }) => rule), tcp: [], tls: [], withoutEffect: [] };
  },
);

function byAgeThenPath(a: RouteOrigin, b: RouteOrigin): number {
  const [one, other] = [a.resource.metadata, b.resource.metadata];
  return (
    compare(one.creationTimestamp ?? '', other.creationTimestamp ?? '') ||
    compare(`${a.namespace}/${one.name}`, `${b.namespace}/${other.name}`)
  );
}

/**
 * Exact path, longer prefix, regular expression; then a method, more headers, more query parameters. Where the Gateway API
 * leaves regular expressions open this is Istio's order, but for the prefix `/`, which would leave nothing to them.
 */
function rankOf({ match }: HttpRule): readonly number[] {
  const { uri, method, headers = {}, queryParams = {} } = match?.[0] ?? {};
  const path = uri?.exact ?? uri?.prefix ?? uri?.regex ?? '';
  const kind = uri?.exact !== undefined ? 3 : uri?.regex !== undefined ? 1 : path === '/' ? 0 : uri ? 2 : -1;
  return [
    kind,
    path.length,
    Number(method !== undefined),
    Object.keys(headers).length,
    Object.keys(queryParams).length,
  ];
}

function compareRanks(a: readonly number[], b: readonly number[]): number {
  for (const [i, one] of a.entries()) if (one !== b[i]) return one - (b[i] ?? 0);
  return 0;
}
