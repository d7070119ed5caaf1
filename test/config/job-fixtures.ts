/** Job and schedule files of the kinds people have, and what is wrong with one as lines without file and place. */
import { parseJob } from '../../src/config/job-parse.ts';
import { formatProblem } from '../../src/config/problems.ts';
import { parseSchedules } from '../../src/config/schedule-parse.ts';

/** A pipeline in the workflow engine's words. */
export const WORDS = `{
  "name": "Word Job",
  "steps": [
    { "source": "example/randword" },
    { "source": "example/upper" },
    { "source": "example/reverse" }
  ]
}`;

/** Every field the workflow engine and its fork knew. */
export const MULTI_STEP = `{
  "name": "multi",
  "environment": [{ "variable": "REGION", "value": "north" }, { "variable": "EMPTY" }],
  "input": "aGVsbG8K",
  "steps": [
    {
      "name": "collect",
      "source": "example/collect:v2",
      "environment": [{ "variable": "DAYS", "value": "7" }],
      "output": "stderr",
      "beginDelimiter": "---BEGIN---",
      "endDelimiter": "---END---",
      "refresh": true,
      "networkMode": "host",
      "cpuShares": 512,
      "memory": 67108864,
      "timeout": 30
    },
    {
      "source": "registry.example.com:5000/team/pack",
      "output": "/out/report.tar",
      "environment": null,
      "networkMode": "",
      "cpuShares": 0,
      "memory": 0,
      "timeout": 0
    }
  ]
}`;

/** The cron server's words: three entries. */
export const DOCKET = `
- Name: every-minute
  Cron: '* * * * *'
  Container:
    Config:
      Image: busybox
      Cmd: [sh, -c, 'date; echo $WHO']
      Env: [WHO=docket, OPTS=a=b]
- Name: nightly
  Cron: '0 30 3 * * * *'
  Container:
    Config:
      Image: example/backup:v1
      Entrypoint: /backup
      User: '1000'
      WorkingDir: /srv
      Tty: false
    HostConfig:
      AutoRemove: true
      Memory: 134217728
      NanoCpus: 1500000000
      CpuShares: 256
      Binds: ['/srv/data:/data:ro', 'cache:/cache']
      NetworkMode: backend
      CapDrop: [ALL]
      RestartPolicy: null
    NetworkingConfig:
      EndpointsConfig: {backend: {Aliases: [backup]}}
- Name: weekday_report
  Cron: '0 9 * * MON-FRI'
  Container:
    Config: {Image: 'nosuch.example.com/report:v9'}
`;

/** As of noon on 1 July 2026, in UTC. */
export const NOW = Date.UTC(2026, 6, 1, 12);

export function jobLines(document: unknown): string[] {
  return jobTextLines(JSON.stringify(document)).map(bare);
}

export function jobTextLines(text: string, file = 'job.json'): string[] {
  const result = parseJob(text, { file });
  return 'job' in result ? [] : result.problems.map((problem) => formatProblem(file, problem));
}

export function scheduleLines(document: unknown): string[] {
  return scheduleTextLines(JSON.stringify(document)).map(bare);
}

export function scheduleTextLines(text: string, file = 'cron.json'): string[] {
  const result = parseSchedules(text, { file, timeZone: 'UTC', now: NOW });
  return 'schedules' in result ? [] : result.problems.map((problem) => formatProblem(file, problem));
}

function bare(line: string): string {
  return line.replace(/^\w+\.json(:\d+:\d+)? {2}/, '');
}
