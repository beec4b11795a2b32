"""Every setting of a workspace.

* `model`: the settings themselves: name, type, default, description, what is allowed
* `kinds`: how each type of setting is written in the environment, in YAML, in Python and in messages
* `sources`: where values come from; nothing else in the package reads the environment
* `messages`: what an error says about a setting
* `arguments`: the keyword arguments of `Settings.of`, for type checkers; generated

To add a setting, add a field to `model.Settings`.
"""

from __future__ import annotations

from synthflow_assets.settings.model import REGION_URLS as REGION_URLS
from synthflow_assets.settings.model import Settings as Settings
from synthflow_assets.settings.model import check_location as check_location
from synthflow_assets.settings.model import with_setting_names as with_setting_names
from synthflow_assets.settings.sources import API_KEY_VARIABLE as API_KEY_VARIABLE
from synthflow_assets.settings.sources import PREFIX as PREFIX
from synthflow_assets.settings.sources import S3Access as S3Access
from synthflow_assets.settings.sources import VariableSecret as VariableSecret
from synthflow_assets.settings.sources import may_be_variable as may_be_variable
from synthflow_assets.settings.sources import variable as variable
