/** The http routes of one route form, made once for all proxies that its rules treat alike. */
import type { Route } from '../../../shared/xds/route.ts';
import type { RouteForm } from '../../mesh/routes/route-form.ts';
import type { MeshService, MeshSettings } from '../../mesh/view.ts';
import { destinationHashPolicy } from '../cluster/consistent-hash.ts';
import type { DestinationRule, Destinations } from '../cluster/destination-rule.ts';
import { generator, labelsFrom, labelsKey, sharedList } from '../memo.ts';
import { outboundCluster } from '../names.ts';
import type { Finding } from '../output/finding.ts';
import { translateHttpRoutes } from './http-rules.ts';

/** Who a request comes from, as `sourceLabels` and `sourceNamespace` know it. */
export interface RouteCaller {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface RouteInput {
  readonly destinations: Destinations;
  readonly caller: RouteCaller;
  readonly settings: Pick<MeshSettings, 'config'>;
  /** Takes why a rule could not be translated. */
  onError(finding: Finding): void;
}

/** What the rules of a form ask of the mesh and the caller. */
interface Questions {
  /** Full names of all destinations. */
  readonly hosts: readonly string[];
  readonly sourceLabels: readonly string[];
  readonly sourceNamespace: boolean;
}

const questionsOf = generator<{ form: RouteForm }, Questions>({ form: true }, ({ form: { http } }) => {
  const matches = http.flatMap((rule) => rule.match ?? []);
  const destinations = http.flatMap((rule) => [
    ...(rule.route ?? []).map(({ destination }) => destination),
    ...(rule.mirror ? [rule.mirror] : []),
    ...(rule.mirrors ?? []).map(({ destination }) => destination),
  ]);
  return {
    hosts: [...new Set(destinations.map(({ host }) => host))],
    sourceLabels: [...new Set(matches.flatMap((match) => Object.keys(match.sourceLabels ?? {})))],
    sourceNamespace: matches.some((match) => Boolean(match.sourceNamespace)),
  };
});

/** Labels that the rules of a form ask callers for. */
export function sourceLabelsOf(form: RouteForm): readonly string[] {
  return sourceLabels({ form });
}

const sourceLabels = generator<{ form: RouteForm }, readonly string[]>({ form: true }, ({ form }) => {
  const matches = [...form.http, ...form.tcp, ...form.tls].flatMap(
    (rule): { sourceLabels?: Record<string, string> }[] => rule.match ?? [],
  );
  return [...new Set(matches.flatMap((match) => Object.keys(match.sourceLabels ?? {})))];
});

interface TranslationInput {
  readonly form: RouteForm;
  /** The service and the rule of each destination, in the order of its questions. */
  readonly targets: readonly (MeshService | DestinationRule | undefined)[];
  /** MeshConfig.defaultHttpRetryPolicy. */
  readonly defaultRetries: MeshSettings['config']['defaultHttpRetryPolicy'];
  readonly gateway: string;
  readonly port: number;
  readonly namespace: string;
  readonly labels: string;
}

/** The http rules of a form as routes. */
export interface Translated {
  readonly routes: readonly Route[];
  /** Why rules could not be translated. */
  readonly errors: readonly Finding[];
}

const translation = generator<TranslationInput, Translated>(
  {
    form: true,
    targets: true,
    defaultRetries: true,
    gateway: true,
    port: true,
    namespace: true,
    labels: true,
  },
  ({ form, targets, defaultRetries, gateway, port, namespace, labels }) => {
    const { hosts } = questionsOf({ form });
    const destinations = destinationsOf(hosts, targets);
    const errors: Finding[] = [];
    const routes = translateHttpRoutes(form.http, {
      proxyLabels: labelsFrom(labels),
      proxyNamespace: namespace,
      defaultRetries,
      gateway,
      port,
      clusterName: (host, subset, number) =>
        outboundCluster(number ?? destinationPortOf(destinations, host, port), subset, host),
      hashPolicy: (host, subset, number) =>
        destinationHashPolicy(destinations, host, number ?? destinationPortOf(destinations, host, port), subset),
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

/** The routes of one form through `gateway` for calls to `port`. */
export function formRoutes(input: RouteInput, form: RouteForm, gateway: string, port: number): readonly Route[] {
  const { routes, errors } = translatedForm(input, form, gateway, port);
  for (const error of errors) input.onError(error);
  return routes;
}

export function translatedForm(
  { destinations, caller, settings: { config } }: Omit<RouteInput, 'onError'>,
  form: RouteForm,
  gateway: string,
  port: number,
): Translated {
  const questions = questionsOf({ form });
  const targets = questions.hosts.flatMap((host) => {
    const service = destinations.service(host);
    return [service, service && destinations.rule(service)];
  });
  return translation({
    form,
    targets: sharedList(targets),
    defaultRetries: config.defaultHttpRetryPolicy,
    gateway,
    port,
    namespace: questions.sourceNamespace ? caller.namespace : '',
    labels: labelsKey(caller.labels, questions.sourceLabels),
  });
}

/** A destination without port means the service's only port, else the port the request came to. */
export function destinationPortOf(destinations: Pick<Destinations, 'service'>, hostname: string, port: number): number {
  const ports = destinations.service(hostname)?.ports ?? [];
  return ports.length === 1 ? (ports[0]?.number ?? port) : port;
}
