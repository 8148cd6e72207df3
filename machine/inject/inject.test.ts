import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { injectCompose } from './compose.ts';
import { injectEcs } from './ecs.ts';
import { injectNomad } from './nomad.ts';
import type { InjectOptions } from './sidecar.ts';
import { injectSystemd } from './systemd.ts';

const options: InjectOptions = { image: 'tulle:1', only: [], capture: true };

describe('Compose', () => {
  const file = `# the shop
services:
  db:
    image: postgres # pinned elsewhere
  reviews:
    image: reviews
    ports: ["8080:9080"]
    depends_on: [db]
    networks:
      back:
        aliases: [stars]
networks: { back: {} }
`;

  it('gives the network namespace to the sidecar, and starts the application after it', () => {
    const { services, secrets, volumes } = parse(injectCompose(file, { ...options, only: ['reviews'] }));
    expect(services.reviews).toEqual({
      image: 'reviews',
      network_mode: 'service:reviews-tulle',
      depends_on: {
        db: { condition: 'service_started' },
        'reviews-tulle': { condition: 'service_healthy', restart: true },
      },
    });
    expect(services['reviews-tulle']).toMatchObject({
      image: 'tulle:1',
      command: ['join', '--no-service', '@/run/secrets/reviews-tulle'],
      ports: ['8080:9080'],
      networks: { back: { aliases: ['stars', 'reviews'] } },
      cap_drop: ['ALL'],
      read_only: true,
    });
    expect(services.db).toEqual({ image: 'postgres' });
    expect(secrets).toEqual({ 'reviews-tulle': { file: './reviews.invitation' } });
    expect(volumes).toEqual({ 'reviews-tulle-config': {}, 'reviews-tulle': {} });
  });

  it('keeps comments, and changes nothing twice', () => {
    const once = injectCompose(file, options);
    expect(once).toContain('# the shop');
    expect(once).toContain('# pinned elsewhere');
    expect(injectCompose(once, options)).toBe(once);
    const rest = injectCompose(injectCompose(file, { ...options, only: ['db'] }), options);
    expect(parse(rest)).toEqual(parse(once));
  });

  it('keeps the name of a service on the default network and on a list of networks', () => {
    const { services } = parse(injectCompose('services: { a: { networks: [x, y] }, b: {} }', options));
    expect(services['a-tulle'].networks).toEqual({ x: { aliases: ['a'] }, y: { aliases: ['a'] } });
    expect(services['b-tulle'].networks).toEqual({ default: { aliases: ['b'] } });
  });

  it('without capture: no capabilities, and the application is given the proxy', () => {
    const given = 'services: { a: { environment: [X=1] }, b: { environment: { Y: 2 } } }';
    const { services } = parse(injectCompose(given, { ...options, capture: false }));
    expect(services['a-tulle']).not.toHaveProperty('cap_add');
    expect(services['a-tulle']).not.toHaveProperty('user');
    expect(services.a.environment).toEqual([
      'X=1',
      'http_proxy=http://127.0.0.1:15080',
      'no_proxy=127.0.0.1,localhost',
    ]);
    expect(services.b.environment).toEqual({
      Y: 2,
      http_proxy: 'http://127.0.0.1:15080',
      no_proxy: '127.0.0.1,localhost',
    });
  });

  it.each([
    ['services: []', options, /^services: must be a map/],
    ['a: [', options, /^not YAML: /],
    ['services: { a: { network_mode: host } }', options, /^services\.a\.network_mode: /],
    ['services: { a: {}, a-tulle: {} }', { ...options, only: ['a'] }, /^services\.a-tulle: the name is taken/],
    ['services: { a: {} }', { ...options, only: ['b'] }, /^service "b": is not in the file, which has a$/],
    [
      'services: { a: { environment: { http_proxy: x } } }',
      { ...options, capture: false },
      /^services\.a\.environment\.http_proxy: remove it/,
    ],
  ])('refuses %s', (text, given, reason) => {
    expect(() => injectCompose(text, given)).toThrow(reason);
  });
});

describe('Nomad', () => {
  const group = { Name: 'web', Networks: [{ Mode: 'bridge' }], Tasks: [{ Name: 'app', Driver: 'docker' }] };
  const job = JSON.stringify({ Job: { ID: 'shop', Type: 'service', TaskGroups: [group] } });

  it('puts a sidecar before the tasks of a group, and a task that waits for it', () => {
    const { Job } = JSON.parse(injectNomad(job, options));
    const [sidecar, ready, app] = Job.TaskGroups[0].Tasks;
    expect(Job.Type).toBe('service');
    expect(sidecar.Lifecycle).toEqual({ Hook: 'prestart', Sidecar: true });
    expect(sidecar.Templates[0].EmbeddedTmpl).toContain('nomad/jobs/shop/web');
    expect(ready.Lifecycle).toEqual({ Hook: 'prestart', Sidecar: false });
    expect(app).toEqual(group.Tasks[0]);
  });

  it('changes nothing twice', () => {
    const once = injectNomad(job, options);
    expect(injectNomad(once, options)).toBe(once);
  });

  it.each([
    ['job "shop" {}', /nomad job run -output/],
    [JSON.stringify({ ID: 'a', TaskGroups: [{ ...group, Networks: [] }] }), /Networks\[0\]\.Mode must be bridge/],
    [JSON.stringify({ ID: 'a' }), /^TaskGroups: /],
  ])('refuses %s', (text, reason) => {
    expect(() => injectNomad(text, options)).toThrow(reason);
  });
});

describe('ECS', () => {
  const task = { family: 'shop', networkMode: 'awsvpc', containerDefinitions: [{ name: 'app', image: 'app' }] };
  const ecs = { ...options, secret: 'arn:aws:secretsmanager:x' };

  it('adds one sidecar, whose invitation is a secret, and lets the containers wait for it', () => {
    const { containerDefinitions, volumes } = JSON.parse(injectEcs(JSON.stringify(task), ecs));
    const [sidecar, app] = containerDefinitions;
    expect(sidecar.secrets).toEqual([{ name: 'TULLE_INVITATION', valueFrom: 'arn:aws:secretsmanager:x' }]);
    expect(sidecar.linuxParameters.capabilities.add).toEqual(['NET_ADMIN']);
    expect(sidecar.linuxParameters.capabilities.drop).not.toContain('SETUID');
    expect(app.dependsOn).toEqual([{ containerName: 'tulle', condition: 'HEALTHY' }]);
    expect(volumes).toEqual([{ name: 'tulle-config' }, { name: 'tulle' }]);
  });

  it('changes nothing twice', () => {
    const once = injectEcs(JSON.stringify(task), ecs);
    expect(injectEcs(once, ecs)).toBe(once);
  });

  it.each([
    [{ ...task, networkMode: 'bridge' }, ecs, /^networkMode: must be awsvpc/],
    [{ ...task, requiresCompatibilities: ['FARGATE'] }, ecs, /pass --no-capture/],
    [{ ...task, containerDefinitions: [] }, ecs, /^containerDefinitions: /],
    [task, { ...ecs, only: ['app'] }, /^--only: /],
  ])('refuses what it cannot serve', (given, how, reason) => {
    expect(() => injectEcs(JSON.stringify(given), how)).toThrow(reason);
  });
});

describe('systemd', () => {
  it('makes the unit wait for the sidecar, once', () => {
    const unit =
      '[Unit]\nDescription=shop\nAfter=network.target \\\n  remote-fs.target\n\n[Service]\nExecStart=/bin/shop\n';
    const once = injectSystemd(unit);
    expect(once).toBe(
      '[Unit]\nDescription=shop\nAfter=network.target \\\n  remote-fs.target\nAfter=tulle-proxy.service\nWants=tulle-proxy.service\n\n[Service]\nExecStart=/bin/shop\n',
    );
    expect(injectSystemd(once)).toBe(once);
  });

  it('adds the section that is missing', () => {
    expect(injectSystemd('[Service]\nExecStart=/bin/shop\n')).toMatch(/^\[Unit\]\nAfter=tulle-proxy\.service\n/);
  });

  it('refuses what is no service', () => {
    expect(() => injectSystemd('[Timer]\n')).toThrow(/^\[Service\]: is missing/);
  });
});
