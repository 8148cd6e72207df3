/** Sidecars in a Nomad job (JSON, as `nomad job run -json` takes it and `nomad job run -output` prints it). */
import * as z from 'zod';
import {
  CAPABILITIES,
  chosen,
  EXPLICIT_ENVIRONMENT,
  FOLDERS,
  InjectError,
  type InjectOptions,
  PROGRAM,
  READY_COMMAND,
  sidecarArguments,
} from './sidecar.ts';

const TASK = 'tulle';
const WAIT = 'tulle-ready';

const Task = z.looseObject({ Name: z.string(), Env: z.record(z.string(), z.string()).nullish() });
const Group = z.looseObject({
  Name: z.string(),
  Networks: z.array(z.looseObject({ Mode: z.string().optional() })).nullish(),
  Tasks: z.array(Task).min(1),
});
const Job = z.looseObject({ ID: z.string(), TaskGroups: z.array(Group).min(1) });

/**
 * Tasks of a group share one network namespace, so each group gets one sidecar, started before its tasks.
 * @returns the text as it is where all groups have theirs
 * @throws InjectError naming the field
 */
export function injectNomad(text: string, options: InjectOptions): string {
  const { wrapped, job } = jobOf(text);
  const wanted = chosen(
    job.TaskGroups.map(({ Name }) => Name),
    options.only,
    'task group',
  );
  const without = job.TaskGroups.filter(
    ({ Name, Tasks }) => wanted.has(Name) && !Tasks.some((task) => task.Name === TASK),
  );
  if (without.length === 0) return text;
  const TaskGroups = job.TaskGroups.map((group) => (without.includes(group) ? inject(job.ID, group, options) : group));
  const injected = { ...job, TaskGroups };
  return `${JSON.stringify(wrapped ? { Job: injected } : injected, null, 2)}\n`;
}

function jobOf(text: string): { wrapped: boolean; job: z.infer<typeof Job> } {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new InjectError('not JSON: turn an HCL job into JSON with "nomad job run -output FILE" first');
  }
  const wrapped = typeof json === 'object' && json !== null && 'Job' in json;
  const parsed = Job.safeParse(wrapped ? (json as { Job: unknown }).Job : json);
  if (parsed.success) return { wrapped, job: parsed.data };
  const issue = parsed.error.issues[0]!;
  throw new InjectError(`${issue.path.join('.') || 'job'}: ${issue.message}`);
}

function inject(job: string, group: z.infer<typeof Group>, options: InjectOptions) {
  const mode = group.Networks?.[0]?.Mode;
  if (mode !== 'bridge')
    throw new InjectError(
      `task group "${group.Name}": Networks[0].Mode must be bridge, so that its tasks share a network namespace; it is ${mode ?? 'not set'}`,
    );
  const tasks = options.capture ? group.Tasks : group.Tasks.map((task) => explicit(group.Name, task));
  return { ...group, Tasks: [sidecar(job, group.Name, options), readiness(options), ...tasks] };
}

function explicit(group: string, task: z.infer<typeof Task>) {
  const taken = Object.keys(EXPLICIT_ENVIRONMENT).find((name) => task.Env?.[name] !== undefined);
  if (taken) throw new InjectError(`task "${task.Name}" of group "${group}": Env has ${taken}; remove it`);
  return { ...task, Env: { ...task.Env, ...EXPLICIT_ENVIRONMENT } };
}

const SMALL = { CPU: 100, MemoryMB: 128 };

/** The invitation is a Nomad variable, which the sidecar's job may read by default. */
function sidecar(job: string, group: string, options: InjectOptions) {
  const { image, capture } = options;
  // biome-ignore lint/suspicious/noTemplateCurlyInString: interpolated by Nomad.
  const invitation = '${NOMAD_SECRETS_DIR}/invitation';
  return {
    Name: TASK,
    Driver: 'docker',
    Lifecycle: { Hook: 'prestart', Sidecar: true },
    ...(capture ? { User: 'root' } : {}),
    Config: {
      image,
      command: PROGRAM,
      args: sidecarArguments(invitation, options),
      readonly_rootfs: true,
      cap_drop: ['all'],
      ...(capture ? { cap_add: CAPABILITIES.map((one) => one.toLowerCase()) } : {}),
      mounts: FOLDERS.map((target, i) => ({ type: 'volume', target, source: `tulle-${job}-${group}-${i}` })),
    },
    Templates: [
      {
        EmbeddedTmpl: `{{ with nomadVar "nomad/jobs/${job}/${group}" }}{{ .tulle_invitation }}{{ end }}`,
        DestPath: 'secrets/invitation',
        Perms: '0600',
        ChangeMode: 'noop',
      },
    ],
    Resources: SMALL,
  };
}

/** Ends when the sidecar is ready: the tasks of the group start after it. */
function readiness({ image }: InjectOptions) {
  return {
    Name: WAIT,
    Driver: 'docker',
    Lifecycle: { Hook: 'prestart', Sidecar: false },
    Config: {
      image,
      command: PROGRAM,
      args: [...READY_COMMAND.slice(1), '--wait', '60s'],
      readonly_rootfs: true,
      cap_drop: ['all'],
    },
    RestartPolicy: { Attempts: 5, Delay: 1_000_000_000, Interval: 600_000_000_000, Mode: 'delay' },
    Resources: SMALL,
  };
}
