/** Whether the control planes can be reached, are those of the mesh, and have the same time. */
import { type Reached, reach } from '../join/control-plane.ts';
import { type Category, type Finding, failure, ok, warning } from './finding.ts';

/** Certificates are issued for a minute before their issue (control/ca): a clock that is further behind refuses them. */
const CLOCK_LIMIT_MS = 60_000;

export interface ControlPlaneChecks {
  readonly category: Category;
  /** The control planes with the right root, in their order. */
  readonly reached: readonly (Reached & { readonly url: string })[];
}

/** One that cannot be reached is a warning as long as another can; one with a wrong root is an error in any case. */
export async function checkControlPlanes(urls: readonly string[], rootHash: string): Promise<ControlPlaneChecks> {
  const results = await Promise.all(
    urls.map(async (url) => {
      try {
        return { url, ...(await reach(url, rootHash)) };
      } catch (error) {
        return { url, error: (error as Error).message };
      }
    }),
  );
  const reached = results.filter((result) => 'root' in result);
  const checks: Finding[] = results.flatMap((result) => {
    if ('root' in result)
      return [ok(`control plane ${result.url} is reachable and has the root certificate of the mesh`)];
    const [error = '', ...hint] = result.error.split('; ');
    const description = `control plane ${result.url} is reachable`;
    const poses = error.includes('another root certificate');
    return [(poses || reached.length === 0 ? failure : warning)(description, error, hint.join('; '))];
  });
  const timed = reached.find(({ aheadMs }) => aheadMs !== undefined);
  if (timed) checks.push(clockFinding(timed.aheadMs!, timed.url));
  return { category: { categoryName: 'control-plane', checks }, reached };
}

function clockFinding(aheadMs: number, url: string): Finding {
  const description = 'the clock agrees with that of the control plane within a minute';
  if (Math.abs(aheadMs) <= CLOCK_LIMIT_MS) return ok(description);
  const away = Math.round(Math.abs(aheadMs) / 1000);
  const found = `the clock of this machine is ${duration(away)} ${aheadMs > 0 ? 'ahead of' : 'behind'} ${url}`;
  return failure(description, found, 'set it, as by "timedatectl set-ntp true", on the machine that is wrong');
}

const duration = (seconds: number): string =>
  seconds < 120
    ? `${seconds} s`
    : seconds < 7200
      ? `${Math.round(seconds / 60)} min`
      : `${Math.round(seconds / 3600)} h`;
