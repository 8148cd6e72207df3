/** The http routes of one VirtualService, made once for all proxies that its rules treat alike. */
import type { Resource } from '../../../shared/resources/resource.ts';
import type { Route } from '../../../shared/xds/route.ts';
import { namespaceOf, specOf } from '../../mesh/fields.ts';
import type { MeshService, MeshSettings } from '../../mesh/view.ts';
import { destinationHashPolicy } from '../cluster/consistent-hash.ts';
import type { DestinationRule, Destinations } from '../cluster/destination-rule.ts';
import { generator, labelsFrom, labelsKey, sharedList } from '../memo.ts';
import { outboundCluster, resolveHost } from '../names.ts';
import type { Finding } from '../output/finding.ts';
import { translateHttpRoutes } from './virtual-service.ts';
import type { VirtualServiceSpec } from './virtual-service-spec.ts';

/** Who a request comes from, as `sourceLabels` and `sourceNamespace` know it. */
export interface RouteCaller {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface RouteInput {
  readonly destinations: Destinations;
  readonly caller: RouteCaller;
  readonly settings: Pick<MeshSettings, 'domainSuffix' | 'config'>;
  /** Takes why a rule could not be translated. */
  onError(finding: Finding): void;
}

/** What the rules of a VirtualService ask of their surroundings. */
interface Questions {
  /** Full names of all destinations. */
  readonly hosts: readonly string[];
  readonly sourceLabels: readonly string[];
  readonly sourceNamespace: boolean;
}

const questionsOf = generator<{ vs: Resource; domainSuffix: string }, Questions>(
  { vs: true, domainSuffix: true },
  ({ vs, domainSuffix }) => {
    const rules = (specOf(vs) as VirtualServiceSpec).http ?? [];
    const matches = rules.flatMap((rule) => rule.match ?? []);
    const written = rules.flatMap((rule) => [
      ...(rule.route ?? []).map(({ destination }) => destination),
      ...(rule.mirror ? [rule.mirror] : []),
      ...(rule.mirrors ?? []).map(({ destination }) => destination),
    ]);
    return {
      hosts: [...new Set(written.map(({ host }) => resolveHost(host, namespaceOf(vs), domainSuffix)))],
      sourceLabels: [...new Set(matches.flatMap((match) => Object.keys(match.sourceLabels ?? {})))],
      sourceNamespace: matches.some((match) => Boolean(match.sourceNamespace)),
    };
  },
);

/** Labels that the rules of VirtualServices ask callers for. */
export function sourceLabelsOf(vs: Resource): readonly string[] {
  return sourceLabels({ vs });
}

const sourceLabels = generator<{ vs: Resource }, readonly string[]>({ vs: true }, ({ vs }) => {
  const { http, tcp, tls } = specOf(vs) as Record<'http' | 'tcp' | 'tls', { match?: object[] }[] | undefined>;
  const rules = [http, tcp, tls].flatMap((list) => (Array.isArray(list) ? list : []));
  const matches = rules.flatMap((rule) => (Array.isArray(rule.match) ? rule.match : [])) as {
    sourceLabels?: Record<string, string>;
  }[];
  return [...new Set(matches.flatMap((match) => Object.keys(match.sourceLabels ?? {})))];
});

interface TranslationInput {
  readonly vs: Resource;
  /** The service and the rule of each destination, in the order of its questions. */
  readonly targets: readonly (MeshService | DestinationRule | undefined)[];
  /** MeshConfig.defaultHttpRetryPolicy. */
  readonly defaultRetries: MeshSettings['config']['defaultHttpRetryPolicy'];
  readonly gateway: string;
  readonly port: number;
  readonly namespace: string;
  readonly labels: string;
  readonly domainSuffix: string;
}

const translation = generator<TranslationInput, { routes: readonly Route[]; errors: readonly Finding[] }>(
  {
    vs: true,
    targets: true,
    defaultRetries: true,
    gateway: true,
    port: true,
    namespace: true,
    labels: true,
    domainSuffix: true,
  },
  ({ vs, targets, defaultRetries, gateway, port, namespace, labels, domainSuffix }) => {
    const { hosts } = questionsOf({ vs, domainSuffix });
    const destinations = destinationsOf(hosts, targets);
    const errors: Finding[] = [];
    const full = (host: string) => resolveHost(host, namespaceOf(vs), domainSuffix);
    const routes = translateHttpRoutes(vs, {
      proxyLabels: labelsFrom(labels),
      proxyNamespace: namespace,
      defaultRetries,
      gateway,
      port,
      domainSuffix,
      clusterName: (host, subset, number) =>
        outboundCluster(number ?? destinationPortOf(destinations, full(host), port), subset, full(host)),
      hashPolicy: (host, subset, number) =>
        destinationHashPolicy(
          destinations,
          full(host),
          number ?? destinationPortOf(destinations, full(host), port),
          subset,
        ),
      onError: (finding) => errors.push(finding),
    });
    return { routes: Object.freeze(routes), errors };
  },
);

function destinationsOf(
  hosts: readonly string[],
  targets: readonly (MeshService | DestinationRule | undefined)[],
): Destinations {
  const services = new Map(hosts.map((host, i) => [host, targets[2 * i] as MeshService | undefined]));
  const rules = new Map(hosts.map((_, i) => [targets[2 * i], targets[2 * i + 1] as DestinationRule | undefined]));
  return { service: (hostname) => services.get(hostname), rule: (service) => rules.get(service) };
}

/** The routes of one VirtualService through `gateway` for calls to `port`. */
export function virtualServiceRoutes(
  { destinations, caller, settings: { domainSuffix, config }, onError }: RouteInput,
  vs: Resource,
  gateway: string,
  port: number,
): readonly Route[] {
  const questions = questionsOf({ vs, domainSuffix });
  const targets = questions.hosts.flatMap((host) => {
    const service = destinations.service(host);
    return [service, service && destinations.rule(service)];
  });
  const { routes, errors } = translation({
    vs,
    targets: sharedList(targets),
    defaultRetries: config.defaultHttpRetryPolicy,
    gateway,
    port,
    namespace: questions.sourceNamespace ? caller.namespace : '',
    labels: labelsKey(caller.labels, questions.sourceLabels),
    domainSuffix,
  });
  for (const error of errors) onError(error);
  return routes;
}

/** A destination without port means the service's only port, else the port the request came to. */
export function destinationPortOf(destinations: Pick<Destinations, 'service'>, hostname: string, port: number): number {
  const ports = destinations.service(hostname)?.ports ?? [];
  return ports.length === 1 ? (ports[0]?.number ?? port) : port;
}
