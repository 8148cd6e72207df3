/** Asks the proxy's own workload whether it is healthy, and has the control plane know (WorkloadGroup `probe`). */
import type { HealthCheck } from '../shared/xds/cluster.ts';
import type { WorkloadProbe } from '../shared/xds/proxy-config.ts';
import type { ControlResponse } from './control-client/control-client.ts';
import type { Runtime, TlsContext } from './runtime/runtime.ts';
import { ExecProbe } from './upstream/health/exec-probe.ts';
import { type CheckRules, HealthChecker, type Probe } from './upstream/health/health-checker.ts';
import { Host } from './upstream/host.ts';
import { checkRules, compileHealthCheck } from './xds/cluster/compile-health-check.ts';

/** Until a report that failed is sent again. */
const AGAIN_MS = 2000;
/** The entry may have been made again since the last report: a report that says nothing new writes nothing. */
const REPEAT_MS = 20_000;

export interface WorkloadProberOptions {
  readonly runtime: Pick<Runtime, 'connect' | 'clientTls' | 'monotonicMs' | 'random' | 'process'>;
  /** Descriptors that this process inherited, and no command gets. */
  readonly withheld: readonly number[];
  readonly report: (healthy: boolean) => Promise<ControlResponse>;
  readonly log: (line: string, level?: 'info') => void;
}

export class WorkloadProber {
  private readonly options: WorkloadProberOptions;
  private probe = '';
  /** Of the last command that did not pass. */
  private why = '';
  private checker: HealthChecker | undefined;
  private delay: ReturnType<typeof setTimeout> | undefined;
  private again: ReturnType<typeof setTimeout> | undefined;
  private wanted: boolean | undefined;
  private reported: boolean | undefined;
  private sending = false;
  private failed = false;
  private stopped = false;

  constructor(options: WorkloadProberOptions) {
    this.options = options;
  }

  /** The question from now on; undefined: none, and a workload that was reported unhealthy is reported healthy. */
  follow(probe: WorkloadProbe | undefined): void {
    const text = JSON.stringify(probe ?? null);
    if (this.stopped || text === this.probe) return;
    this.probe = text;
    this.checker?.close();
    clearTimeout(this.delay);
    this.checker = undefined;
    if (probe) this.delay = setTimeout(() => this.begin(probe), probe.initialDelaySeconds * 1000);
    else if (this.reported === false) this.want(true);
  }

  /** Reports again what is known: the workload has another entry. */
  repeat(): void {
    if (this.stopped) return;
    this.reported = undefined;
    clearTimeout(this.again);
    void this.send();
  }

  stop(): void {
    this.stopped = true;
    this.checker?.close();
    clearTimeout(this.delay);
    clearTimeout(this.again);
  }

  private begin(probe: WorkloadProbe): void {
    const { runtime } = this.options;
    const { rules, makeProbe } = this.compile(probe);
    this.why = '';
    this.checker = new HealthChecker(rules, makeProbe, {
      counts: { attempt: 0, success: 0, failure: 0, networkFailure: 0 },
      random: () => runtime.random(),
      now: () => runtime.monotonicMs(),
      hadTraffic: () => true,
      changed: (_, healthy) => this.want(healthy),
    });
    const tls = probe.http?.tls ? runtime.clientTls(UNVERIFIED) : undefined;
    this.checker.watch([hostOf(probe, tls, runtime.monotonicMs())]);
  }

  private compile(probe: WorkloadProbe): { rules: CheckRules; makeProbe: (host: Host) => Probe } {
    const { runtime, withheld } = this.options;
    const { exec } = probe;
    if (!exec)
      return compileHealthCheck(
        { ...timesOf(probe), ...questionOf(probe) },
        { name: 'workload', http2: true },
        { connect: runtime.connect.bind(runtime) },
      );
    const start = () => runtime.process.startCommand(exec.command, withheld);
    const failed = (why: string) => {
      this.why = why;
    };
    return { rules: checkRules(timesOf(probe), 'probe'), makeProbe: () => new ExecProbe(start, failed) };
  }

  private want(healthy: boolean): void {
    const why = this.why === '' ? '' : `: ${this.why}`;
    if (healthy !== this.wanted)
      this.options.log(healthy ? 'workload is healthy' : `workload is unhealthy${why}`, 'info');
    this.wanted = healthy;
    void this.send();
  }

  private async send(): Promise<void> {
    if (this.sending || this.stopped || this.wanted === undefined || this.wanted === this.reported) return;
    this.sending = true;
    const healthy = this.wanted;
    const failure = await this.options.report(healthy).then(
      ({ status }) => (status === 200 ? undefined : `the control plane answers with ${status}`),
      (error: Error) => error.message,
    );
    this.sending = false;
    if (failure === undefined) this.reported = healthy;
    else if (!this.failed) this.options.log(`workload health cannot be reported: ${failure}; it is attempted again`);
    this.failed = failure !== undefined;
    if (this.stopped) return;
    clearTimeout(this.again);
    if (this.wanted === this.reported) this.again = setTimeout(() => this.repeat(), REPEAT_MS);
    else this.again = setTimeout(() => void this.send(), failure === undefined ? 0 : AGAIN_MS);
  }
}

/** As the kubelet: any certificate will do, and an address is no server name. */
const UNVERIFIED = {
  keyPair: undefined,
  trustedRoots: undefined,
  serverName: undefined,
  alpn: [],
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.3',
} as const;

/** A command has no address. */
const NO_PLACE = { address: '', port: 0 };

function hostOf({ http, tcp, grpc }: WorkloadProbe, tls: TlsContext | undefined, now: number): Host {
  const { address, port } = http ?? tcp ?? grpc ?? NO_PLACE;
  const place = {
    hostname: '',
    locality: '',
    metadata: undefined,
    poolId: '',
    weight: 1,
    priority: 0,
    edsHealth: 'HEALTHY',
  } as const;
  return new Host({ ...place, address, port, tls: () => tls }, new Map(), now);
}

function timesOf(probe: WorkloadProbe) {
  return {
    interval: `${probe.periodSeconds}s`,
    timeout: `${probe.timeoutSeconds}s`,
    healthyThreshold: probe.successThreshold,
    unhealthyThreshold: probe.failureThreshold,
    reuseConnection: false,
  };
}

function questionOf({
  http,
  grpc,
}: WorkloadProbe): Pick<HealthCheck, 'httpHealthCheck' | 'tcpHealthCheck' | 'grpcHealthCheck'> {
  if (grpc) return { grpcHealthCheck: { serviceName: grpc.service } };
  if (!http) return { tcpHealthCheck: {} };
  return {
    httpHealthCheck: {
      path: http.path,
      host: http.host,
      requestHeadersToAdd: http.headers.map(([key, value]) => ({
        header: { key, value },
        appendAction: 'OVERWRITE_IF_EXISTS_OR_ADD' as const,
      })),
      expectedStatuses: [{ start: 200, end: 400 }],
      // A status counts like no answer: the threshold decides.
      retriableStatuses: [{ start: 100, end: 600 }],
    },
  };
}
