/** The problems of a document as lines without file and place. */
import { type ParseOptions, parseProject } from '../../src/config/parse.ts';
import { formatProblem } from '../../src/config/problems.ts';

export function linesFor(document: unknown, options: Partial<ParseOptions> = {}): string[] {
  return textLines(JSON.stringify(document), options).map((line) =>
    line.replace(/^test\.json(:\d+:\d+)? {2}/, ''),
  );
}

export function textLines(text: string, options: Partial<ParseOptions> = {}): string[] {
  const file = options.file ?? 'test.json';
  const result = parseProject(text, { ...options, file });
  return 'project' in result ? [] : result.problems.map((problem) => formatProblem(file, problem));
}
