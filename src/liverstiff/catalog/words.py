"""Words of series texts, and bounds of echo times and slices, that the rules look for.

Expressions match as words of their own in texts of lower case without accents; words of several languages count.
"""

from __future__ import annotations

LEAST_SLICES = 6
"""Fewer slices do not cover a liver."""

SHORT_TE, LONG_TE = (0.0, 7.0), (60.0, 300.0)
"""Echo times in ms of a T1-weighted gradient echo and of a T2-weighted spin echo."""

MOST_ECHOES = 3
"""More echoes than a Dixon acquisition needs are the source of fat and iron maps."""

CONFIDENCE = r"conf[ _-]?map\w*|confidence\w*|confmap\w*|conf"
_A_MAP = r"(stiff\w*|elast\w*|steif\w*|rigid\w*)"
_A_MASK = r"(mas[kq]\w*|gemasker\w*)"
MASKED = (
    rf"stgrym|{_A_MAP}[ _-]*(map[ _-]*)?(w[ _/-]*)?(conf\w*[ ._-]*)?({_A_MASK}|95\w*)"
    rf"|{_A_MASK}[ _-]*{_A_MAP}"
)
STIFFNESS = r"stgry|stiff\w*|steif\w*|rigidit\w*|raideur|elastogramm?e?s?|elasticit\w*|shear[ _-]?(stiff\w*|mod\w*)|kpa"
WAVE = r"waves?(?![ _-]?caipi)(?![ _-]?lava)(?![ _-]?space)\w*|welle\w*|ondes?|displacement\w*"
RAW = rf"{WAVE}|mag|magn\w*|phase|pha|raw|source|colou?r|rgb"
ELASTOGRAPHY = rf"mre\w*|\w*elasto\w*|mr[ _-]?touch|gre[ _-]?mre|epi[ _-]?mre|greflex\w*|waves?[ _-]?im\w*|{STIFFNESS}"

LOCALIZER = (
    r"loc|locali[sz]er\w*|locator|lokali\w*|scouts?|\w*scout|\w*survey\w*|topogram\w*|reperage|ubersicht|uebersicht"
    r"|overzicht|overview|(3|three|tri)[ _-]?(pl|plane?|plans?|planes)"
)
CALIBRATION = (
    r"calib\w*|kalib\w*|cal|asset[ _-]?cal\w*|arc[ _-]?cal\w*|ref|ref\w*[ _-]?scan|referenz\w*|adj\w*"
    r"|shim\w*(?![ _-]*map)|(sense|coil)[ _-]?(ref\w*|scan|sens\w*|survey)|(pre|quick)[ _-]?scan|coil[ _-]?sens\w*"
    r"|sensi(ti|bi)[vl]\w*|speeder[ _-]?map|map[ _-](scan|speeder)|(?<=\|)map(?=\||$)"
)
BOLUS = r"bolus\w*|smart[ _-]?prep|care[ _-]?bolus|(bolus|nav\w*)[ _-]?track\w*|tracker"
CHOLANGIOGRAPHY = r"\w*mrcp\w*|cholangio\w*|cpre?m|cprm|bili[ _-]?irm|rcp"
BALANCED = (
    r"trufi\w*|true?[ _-]?fisp\w*|fiesta\w*|s?b[ _-]?t?ff?e\w*|\*?tfi2d1\w*|balanced\w*|[bt]?ssfp\w*"
    r"|true?[ _-]?ssfp\w*|trueffe|bal[ _-]?ffe"
)
MAPS = (
    r"[rt]2(\*|[ _-]?star)\w*|r2|[rt]2[ _-]?map\w*|t1[ _-]?map\w*|pdff\w*|fat[ _-]?fr\w*|fatfrac\w*|ff|molli\w*"
    r"|fett(anteil|frak)\w*|(b0|b1|field|feld)[ _-]?(map\w*|karte)|feldkarte\w*|shmolli\w*|mapit\w*|lms|fact"
    r"|ideal[ _-]?iq\w*|m?dixon[ _-]?quant\w*|q[ _-]?dixon|liver[ _-]?lab\w*|fat[ _-]?quant\w*|star[ _-]?quant"
)
MADE = (
    r"sub|subtr\w*|subs|mpr\w*|mip\w*|minip|pjn|proj\w*|reformat\w*|rekon\w*|fusion\w*|fused|3d[ _-]?render\w*|vrt"
    r"|(screen|snap)[ _-]?(shots?|save\w*|cap\w*)|captures?|key[ _-]?im\w*|summary|report|presentation\w*"
)
SYNTHETIC = (
    r"synth\w*|syn|syn\w*dwi\w*|calc\w*|cdwi\w*|c[ _-]?dwi|c[ _-]?b[ _-]?\d+|comp(uted)?[ _-]?(b|dwi|diff)\w*"
    r"|berechn\w*|calcul\w*"
)
EXPONENTIAL = r"e[ _-]?adc\w*|exp\w*[ _-]?adc\w*|exponential\w*|expo"
ADC = r"d?adc\w*|apparent[ _-]diff\w*|avg[ _-]?dc|av\w*[ _-]diff\w*[ _-]coef\w*|\w*[ _-]adc"
DIFFUSION_TEXT = r"\w*dwi\w*|\w*diff\w*|dwibs|dw|ep2d[ _-]?diff\w*|epi[ _-]?dwi|resolve\w*|ivim\w*|dti\w*"
WATER = r"w(?![ _]*/)|water|wasser|eau|acqua|agua"
FAT = r"f(?!/)|fat|fett|graisse|vet|grasa|grasso|fat[ _-]?only"
FAT_SUPPRESSED = (
    r"fs|f[ _/-]?s|fat[ _-]?(sat\w*|sup\w*)|fatsat|spair|spir|stir|spectral[ _-]?fat|wfs|fettsat\w*|fettsupp\w*"
    r"|chemsat|vibe[ _-]?(fs|spair)|q[ _-]?fs|dixon[ _-]?w|sat\w*[ _-](de[ _-](la[ _-])?)?(graisse|grasa|grasso)"
    r"|sat[ _-]?fat|(vet|fett)(onder|unter|ges)\w*|supp?r\w*[ _-](de[ _-](la[ _-])?)?graisse"
)
FAT_KEPT = r"(no|non|not|w/?o|without|ohne|sans|zonder|senza|sin)[ _-]*(f[ _-]?s|fat[ _-]?(sat\w*|sup\w*)|fatsat)"
DUAL_ECHO = r"dual\w*|2[ _-]?echo|double[ _-]?echo|in[ _-]?(and|&|/|-)?[ _-]?(opp|out)\w*|(opp|out)[ _-]in"
IN_PHASE = (
    r"in[ _-]?(ph|fase)(ase)?s?|inph\w*|ip|inphase|in[ _-]?phasig|en[ _-]?phase|in(?=$|\||[ _-]te)|fase[ _-]in"
    r"|(ffe|fe|gre|fl2d)[ _-]in"
)
OPPOSED = (
    r"(opp?|opposed|out|oop|gegen|contre|hors|opposition)([ _-]?of)?[ _-]?ph(ase)?s?|outph\w*|opp?ph\w*|oop|op|opp|out"
    r"|oppos\w*|opposition|gegenphas\w*|(en[ _-])?opos\w*|fase[ _-](op|fuori)\w*|en[ _-]?opp\w*"
    r"|fuori[ _-](di[ _-])?fase"
)
SINGLE_SHOT = (
    r"haste\w*|\w*ssfse\w*|s?ssh\w*|single[ _-]?shot|ss[ _-]?(tse|fse|t2)\w*|t2w?[ _-]ss|sstse|u(ltra)?[ _-]?fse"
    r"|fase\w*|\w*fase|snapshot|\*?h2d1\w*|\*?hfl\w*"
)
RADIAL = r"blade\w*|\w*blade|prop\w*|multi[ _-]?vane\w*|mvxd|mv|jet|arms"
INVERSION = r"stir\w*|tirm\w*|\*?tir2d\w*"

AFTER_CONTRAST = (
    r"art|arter\w*|artar\w*|hap|eap|lap|pvp?|port[ao]\w*|port[ _-]?ven\w*|ven|ven[aeou]\w*|vein\w*|delay\w*|late\w*"
    r"|laat|spat\w*|spaet\w*|sen|tard\w*|differe\w*|equil\w*|gleichgew\w*|evenw\w*|eq|hbp|hb|hep[ _-]?bil\w*"
    r"|hepato[ _-]?[bcs]\w*|parenchym\w*|post\w*|nach|apres|na|efter|etter|dopo|tras|gd|gad|c\+|ce|contrast\w*"
    r"|kontrast\w*|primovist\w*|eovist\w*|gado\w*|dotarem|prohance|multihance|inj\w*|transition\w*|\d+[ _-]?min\w*"
    r"|ph(ase)?[ _-]?[1-9]|[1-9]\.?[ _-]?ph(ase)?|контраст\w*|артер\w*|веноз\w*|портал\w*"
    r"|(动脉|動脈|动脈|门脉|門脈|门静脉|静脉|静脈|延迟|遅延|延遲|平衡|增强|増強|造影|肝胆|肝细胞|肝細胞)\w*"
)
AGENT_GIVEN = (
    r"(post|nach|na|apres|dopo|efter|etter)[ _-]*(gd|gad|km|mdc|contrast|kontrast|inj)\w*|gado\w*|gadav\w*"
    r"|primovist\w*|eovist\w*|dotarem|prohance|multihance|hbp|造影\w*"
)
"""Words that are a sign of contrast agent in the text of any series."""
SUBTRACTION = r"sub|subtr\w*|subs"
DYNAMIC = r"dyn\w*|multi[ _-]?ph\w*|mph|perf\w*|twist\w*|disco\w*|4d[ _-]?\w*|tri[ _-]?ph\w*|km|dce|tricks|grasp"
BEFORE_CONTRAST = r"pre\w*|nativ\w*|nat|mask\w*|base\w*|non[ _-]?c\w*|blank?o?|unenh\w*|plain"
NOT_GIVEN = (
    r"(?<![a-z])(pre|vor|ohne|sans|avant|w/?o|without|non|no|zonder|voor|o|senza|sin|before|ut[ea]n|uden|fore?)[ _.-]*"
    r"(the[ _.-]*)?(km|inj\w*|gd\w*|gado\w*|contrast\w*|ce?|kontrast\w*|iv|mdc)(?![a-z])"
)
WHOLE_EXAM = r"(?<![a-z])(pre[ _]*(/|&|\+|and|und|et|-)[ _]*post|w[ _]*(/|&|and)[ _]*w?o)(?![a-z])"
"""Names of an examination before and after contrast agent, which say nothing of one series."""
