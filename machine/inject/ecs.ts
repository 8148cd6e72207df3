/** Sidecars in an ECS task definition (JSON, as `aws ecs register-task-definition --cli-input-json` takes it). */
import * as z from 'zod';
import {
  CAPABILITIES,
  EXPLICIT_ENVIRONMENT,
  FOLDERS,
  InjectError,
  type InjectOptions,
  READY_COMMAND,
  sidecarArguments,
} from './sidecar.ts';

const NAME = 'tulle';
/** One for each folder. */
const VOLUMES = ['tulle-config', 'tulle'] as const;
const INVITATION = 'TULLE_INVITATION';

const Container = z.looseObject({
  name: z.string(),
  dependsOn: z.array(z.looseObject({ containerName: z.string() })).optional(),
  environment: z.array(z.looseObject({ name: z.string() })).optional(),
});
const Task = z.looseObject({
  family: z.string(),
  networkMode: z.string().optional(),
  requiresCompatibilities: z.array(z.string()).optional(),
  containerDefinitions: z.array(Container).min(1),
  volumes: z.array(z.looseObject({ name: z.string() })).optional(),
});

export interface EcsOptions extends InjectOptions {
  /** ARN of the secret that holds the invitation. */
  readonly secret: string;
}

/**
 * Containers of a task share one network namespace, so one sidecar serves all of them.
 * @returns the text as it is where the task has a sidecar
 * @throws InjectError naming the field
 */
export function injectEcs(text: string, options: EcsOptions): string {
  const task = taskOf(text);
  if (task.containerDefinitions.some(({ name }) => name === NAME)) return text;
  if (options.only.length > 0)
    throw new InjectError('--only: the containers of a task share one network: the sidecar serves all of them');
  if (task.networkMode !== 'awsvpc')
    throw new InjectError(
      `networkMode: must be awsvpc, so that the sidecar shares the network of the containers; it is ${task.networkMode ?? 'not set (bridge)'}`,
    );
  if (options.capture && task.requiresCompatibilities?.includes('FARGATE'))
    throw new InjectError(
      'requiresCompatibilities: Fargate gives no container NET_ADMIN, which capture needs; pass --no-capture for http_proxy',
    );
  const containers = task.containerDefinitions.map((container) => application(container, options));
  const injected = {
    ...task,
    containerDefinitions: [sidecar(options), ...containers],
    volumes: [...(task.volumes ?? []), ...VOLUMES.map((name) => ({ name }))],
  };
  return `${JSON.stringify(injected, null, 2)}\n`;
}

function taskOf(text: string): z.infer<typeof Task> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new InjectError(`not JSON: ${(error as Error).message}`);
  }
  const parsed = Task.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw new InjectError(`${issue.path.join('.') || 'task definition'}: ${issue.message}`);
}

function application(container: z.infer<typeof Container>, { capture }: EcsOptions) {
  const { dependsOn = [], environment = [] } = container;
  const taken = capture ? undefined : environment.find(({ name }) => name in EXPLICIT_ENVIRONMENT);
  if (taken)
    throw new InjectError(`containerDefinitions "${container.name}": environment has ${taken.name}; remove it`);
  const more = capture ? [] : Object.entries(EXPLICIT_ENVIRONMENT).map(([name, value]) => ({ name, value }));
  return {
    ...container,
    dependsOn: [...dependsOn, { containerName: NAME, condition: 'HEALTHY' }],
    ...(more.length > 0 ? { environment: [...environment, ...more] } : {}),
  };
}

function sidecar(options: EcsOptions) {
  const { image, capture, secret } = options;
  return {
    name: NAME,
    image,
    essential: true,
    command: sidecarArguments(undefined, options),
    readonlyRootFilesystem: true,
    mountPoints: FOLDERS.map((containerPath, i) => ({ sourceVolume: VOLUMES[i], containerPath })),
    secrets: [{ name: INVITATION, valueFrom: secret }],
    ...(capture ? { user: '0', linuxParameters: { capabilities: { add: ['NET_ADMIN'], drop: unneeded() } } } : {}),
    healthCheck: { command: ['CMD', ...READY_COMMAND], interval: 5, timeout: 5, retries: 10, startPeriod: 10 },
  };
}

/** Of Docker's default capabilities. */
function unneeded(): string[] {
  const defaults = [
    'AUDIT_WRITE',
    'CHOWN',
    'DAC_OVERRIDE',
    'FOWNER',
    'FSETID',
    'KILL',
    'MKNOD',
    'NET_BIND_SERVICE',
    'NET_RAW',
    'SETFCAP',
    'SETGID',
    'SETPCAP',
    'SETUID',
    'SYS_CHROOT',
  ];
  return defaults.filter((one) => !(CAPABILITIES as readonly string[]).includes(one));
}
