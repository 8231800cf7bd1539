#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Usage: summary.py --broken N [BUILD-DIRECTORY...]

Shows the output of the tests that failed in the last `meson test` of these directories, then how many passed, failed and were
skipped, each case of a test program counted; N builds that failed are failures. The exit status is 0 if nothing failed and, where
the environment says CI=true, nothing was skipped."""

import collections
import json
import os
import pathlib
import sys
import xml.etree.ElementTree as ElementTree

LINES = 60  # of each output


def cases_of(directory):
    """By test program, how many of its cases passed, failed and were skipped, as far as it told."""
    cases = collections.defaultdict(collections.Counter)
    for suite in ElementTree.parse(directory / 'meson-logs/testlog.junit.xml').iter('testsuite'):
        program = (suite.get('name').split('.') + [''])[1]
        for case in suite.iter('testcase'):
            kinds = {element.tag for element in case}
            verdict = ('failed' if kinds & {'failure', 'error'} else
                       'skipped' if 'skipped' in kinds or case.get('status') == 'notrun' else 'passed')
            cases[program or case.get('name')][verdict] += 1
    return cases


def main():
    total = collections.Counter(failed=int(sys.argv[2]))
    for directory in map(pathlib.Path, sys.argv[3:]):
        cases = cases_of(directory)
        for line in (directory / 'meson-logs/testlog.json').read_text().splitlines():
            test = json.loads(line)
            program = test['name'].rpartition(' / ')[2]
            counted = cases[program]
            if test['result'] == 'SKIP':
                counted = collections.Counter(skipped=1)
            elif test['result'] != 'OK':
                counted['failed'] = max(counted['failed'], 1)  # it crashed or took too long
                print(f'\n== {directory.name}: {program}: {test["result"]}')
                for stream in ('stdout', 'stderr'):
                    lines = test.get(stream, '').splitlines()
                    print(*([f'... ({len(lines) - LINES} lines)'] if len(lines) > LINES else []), *lines[-LINES:], sep='\n')
            total += counted
    print(f'\n{total["passed"]} passed, {total["failed"]} failed, {total["skipped"]} skipped')
    return 1 if total['failed'] or os.environ.get('CI') == 'true' and total['skipped'] else 0


if __name__ == '__main__':
    sys.exit(main())
